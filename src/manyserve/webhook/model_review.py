"""The verdict on a TrainedModel: by itself, and beside the other models of its host.

A model whose host is absent, on its way out, unreadable or not multi-model is let in with a warning: it waits,
and its conditions say for what. What would never work (a framework that the server does not support) or does
not fit now is refused with the figures. On an update only what the update changes is asked about again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.capacity import (
    Taken,
    declared_memory,
    memory_limit,
    no_room,
    why_not_framework,
    why_not_several,
)
from manyserve.plan.management import not_managed
from manyserve.plan.validation import UnreadableError, model_problems, parse_model
from manyserve.webhook.ledger import Share
from manyserve.webhook.ratchet import added
from manyserve.webhook.request import Request
from manyserve.webhook.verdict import Verdict, allowed, forbidden, invalid
from manyserve.webhook.view import View


@dataclass(frozen=True)
class Change:
    """A model, what it was before when that can be read, and the host that it wants."""

    uid: str
    model: TrainedModel
    old: TrainedModel | None
    host: Key

    @property
    def moves(self) -> bool:
        """Tell whether the model is new on this host."""
        return self.old is None or self.old.spec.inference_service != self.model.spec.inference_service

    @property
    def memory_before(self) -> int:
        """The bytes that the model declared on this same host before."""
        try:
            return 0 if self.old is None or self.moves else declared_memory(self.old)
        except ValueError:
            return 0


def judge_model(request: Request, view: View) -> Verdict:
    """Return the verdict on a model that is created or whose spec changes."""
    problems = added(partial(model_problems, https=view.config.credentials.https), request)
    if problems:
        return invalid(problems)
    change = _change(request)
    if change is None:
        return allowed("this object cannot be read, as before; its conditions will say why")
    unmanaged = view.unmanaged.get(change.host)
    if unmanaged is not None:
        return allowed(f"waits: {not_managed(change.host.name, unmanaged)}")
    service = view.hosts.get(change.host)
    if service is None:
        return allowed(_absent(change.host, view))
    waits = _why_it_waits(service, view)
    return allowed(waits) if waits else _judge_on_host(change, service, view)


def _change(request: Request) -> Change | None:
    try:
        model = parse_model(request.object)
        declared_memory(model)
    except ValueError:  # as before, else it would have been refused already
        return None
    try:
        old = parse_model(request.old) if request.old else None
    except UnreadableError:
        old = None
    return Change(request.object_uid, model, old, request.host(model.spec.inference_service))


def _absent(host: Key, view: View) -> str:
    if host in view.hosts:
        return f"waits for InferenceService {host.name}, which is stored in a form that cannot be read"
    return f"waits for InferenceService {host.name}, which does not exist in namespace {host.namespace} yet"


def _why_it_waits(service: InferenceService, view: View) -> str | None:
    if service.metadata.deletion_timestamp:
        return f"waits for InferenceService {service.metadata.name}, which is being deleted"
    sentence = why_not_several(service, view.config)
    return f"waits: {sentence}" if sentence else None


def _judge_on_host(change: Change, service: InferenceService, view: View) -> Verdict:
    framework, wanted = change.model.spec.model.framework, declared_memory(change.model)
    if change.moves or change.old is None or change.old.spec.model.framework != framework:
        sentence = why_not_framework(service, framework, view.config)
        if sentence:
            return forbidden("spec.model.framework", sentence)
    if wanted <= change.memory_before:
        return allowed()
    limit = memory_limit(service)
    used = view.used(change.host, without=change.uid)
    if used + wanted > limit:
        by = view.by(change.host, without=change.uid)
        return forbidden("spec.model.memory", no_room(change.host.name, limit, used, by, wanted))
    more = Taken(change.model.metadata.name, max(wanted - _shown(change, view), 0))
    return allowed(reserve=Share(change.host, framework, more))


def _shown(change: Change, view: View) -> int:
    """Return what the informer counts for this model on this host already."""
    share = view.placed.get(change.uid)
    return share.memory if share and share.host == change.host else 0
