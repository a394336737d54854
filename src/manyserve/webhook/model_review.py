"""Review of a TrainedModel against its host and the other models of the host, and of its owner references.

A model is admitted with a warning when its host is absent, being deleted, unreadable or not multi-model. Such a model
waits, and its conditions name the reason. A model is refused when the server does not support its framework, or when it
does not fit now; the message has the figures. On an update only the changed fields are reviewed.

Kubernetes deletes an object with an owner that does not exist, so a model that is restored from an older backup would
vanish without a message. So a new owner reference to such an InferenceService is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GROUP, Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.api_group import GROUPS
from manyserve.plan.capacity import framework_error, insufficient_memory, larger_than_a_pod, multi_model_error
from manyserve.plan.management import not_managed
from manyserve.plan.memory import (
    MemoryShare,
    declared,
    declared_or_zero,
    fits,
    least_copies,
    memory_limit,
    total_limit,
)
from manyserve.plan.rules.allocation import copies_above_host, copies_of_homogeneous
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.validation import UnreadableError, parse_model
from manyserve.webhook.admission import AdmissionRequest, Decision, Raw, allowed, forbidden
from manyserve.webhook.allocations import Allocation
from manyserve.webhook.cache import View

COMMAND = (
    "kubectl patch --local --type=merge -f backup.yaml -o json "
    """-p '{"metadata":{"ownerReferences":null,"resourceVersion":null,"uid":null}}' """
    "| kubectl apply --server-side --force-conflicts -f -"
)
"""Restores a backup without owner references, even if some of its objects exist."""


@dataclass(frozen=True)
class Change:
    """A model, its old form if that can be parsed, and its host."""

    uid: str
    model: TrainedModel
    old: TrainedModel | None
    host: Key

    @property
    def is_new_on_host(self) -> bool:
        """Whether the model is new on this host."""
        return self.old is None or self.old.spec.inference_service != self.model.spec.inference_service

    def memory_before(self, host: InferenceService) -> int:
        """Return the bytes that the model declared on this same host before."""
        return 0 if self.old is None or self.is_new_on_host else declared_or_zero(self.old) * _copies(self.old, host)


def review_model(request: AdmissionRequest, view: View) -> Decision:
    """Decide on a new model, or on a model with a changed spec, after the rules."""
    change = _change(request)
    if change is None:
        return allowed("this object cannot be read, as before; its conditions will say why")
    unmanaged = view.unmanaged.get(change.host)
    if unmanaged is not None:
        return allowed(f"waits: {not_managed(change.host.name, unmanaged)}")
    host = view.hosts.get(change.host)
    if host is None:
        return allowed(_no_host_warning(change.host, view))
    warning = _wait_warning(host, view)
    return allowed(warning) if warning else _review_on_host(change, host, view)


def _change(request: AdmissionRequest) -> Change | None:
    try:
        model = parse_model(request.object)
        declared(model)
    except ValueError:  # the old form was unreadable, too: else the rules had refused this one
        return None
    try:
        old = parse_model(request.old) if request.old else None
    except UnreadableError:
        old = None
    return Change(request.object_uid, model, old, request.host_key(model.spec.inference_service))


def _no_host_warning(host: Key, view: View) -> str:
    if host in view.hosts:
        return f"waits for InferenceService {host.name}, which is stored in a form that cannot be read"
    return f"waits for InferenceService {host.name}, which does not exist in namespace {host.namespace} yet"


def _wait_warning(host: InferenceService, view: View) -> str | None:
    """Return the warning that models of the host wait, or None when they do not."""
    if host.metadata.deletion_timestamp:
        return f"waits for InferenceService {host.metadata.name}, which is being deleted"
    error = multi_model_error(host, view.config)
    return f"waits: {error}" if error else None


def _review_on_host(change: Change, host: InferenceService, view: View) -> Decision:
    framework = change.model.spec.model.framework
    if change.is_new_on_host or change.old is None or change.old.spec.model.framework != framework:
        error = framework_error(host, framework, view.config)
        if error:
            return forbidden("spec.model.framework", error)
    misplaced = _misplaced_fields(change, host)
    return forbidden(*misplaced[0]) if misplaced else _review_memory(change, host, view)


def _review_memory(change: Change, host: InferenceService, view: View) -> Decision:
    warnings = tuple(filter(None, (copies_above_host(host, change.model),)))
    wanted, of_pod, limit = declared(change.model), memory_limit(host), total_limit(host)
    if host.spec.predictor.is_heterogeneous and not fits(0, wanted, of_pod):
        return forbidden("spec.model.memory", larger_than_a_pod(change.host.name, of_pod, wanted))
    wanted *= _copies(change.model, host)
    if wanted <= change.memory_before(host):
        return allowed(*warnings)
    used = view.used(change.host, without=change.uid)
    if not fits(used, wanted, limit):
        consumers = view.largest_consumers(change.host, without=change.uid)
        return forbidden("spec.model.memory", insufficient_memory(change.host.name, limit, used, consumers, wanted))
    increase = wanted - _placed_bytes(change, view)
    if increase <= 0:
        return allowed(*warnings)
    framework = change.model.spec.model.framework
    share = MemoryShare(change.model.metadata.name, increase)
    return allowed(*warnings, reserve=Allocation(change.host, framework, share))


def _misplaced_fields(change: Change, host: InferenceService) -> list[FieldError]:
    """Return the errors of fields that only a heterogeneous host has, and that the old form did not have there."""
    errors = copies_of_homogeneous(host, change.model)
    is_known = not change.is_new_on_host and change.old is not None
    before = copies_of_homogeneous(host, change.old) if is_known and change.old is not None else []
    return [each for each in errors if each not in before]


def _placed_bytes(change: Change, view: View) -> int:
    """Return the bytes of this model on this host according to the informer."""
    allocation = view.placed.get(change.uid)
    return allocation.memory if allocation and allocation.host == change.host else 0


def review_owners(request: AdmissionRequest, view: View) -> Decision | None:
    """Refuse a new owner reference to an InferenceService that does not exist."""
    before = list(_owners(request.old)) if request.old is not None else []
    for index, owner in enumerate(_owners(request.object)):
        if owner not in before and _is_host(owner) and not _exists(owner, request, view):
            return forbidden(f"metadata.ownerReferences[{index}]", _sentence(owner))
    return None


def _owners(model: Raw) -> Iterator[Any]:
    metadata = model.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    return iter(owners if isinstance(owners, list) else ())


def _is_host(owner: Any) -> bool:
    if not isinstance(owner, Mapping) or owner.get("kind") != "InferenceService":
        return False
    return str(owner.get("apiVersion")).partition("/")[0] in GROUPS


def _exists(owner: Mapping[str, Any], request: AdmissionRequest, view: View) -> bool:
    if not str(owner.get("apiVersion")).startswith(f"{GROUP}/"):
        return False
    return view.uids.get(request.host_key(str(owner.get("name")))) == owner.get("uid")


def _sentence(owner: Mapping[str, Any]) -> str:
    return (
        f"InferenceService {quoted(owner.get('name'))} with uid {quoted(owner.get('uid'))} does not exist, and "
        "Kubernetes deletes an object that has an owner which does not exist. A model needs no owner. "
        "If it comes from a backup, "
        f"restore it without owner references: {COMMAND}"
    )


def _copies(model: TrainedModel, host: InferenceService) -> int:
    """Return the fewest copies of a model; on a homogeneous host each pod holds one, and one counts."""
    return least_copies(model) if host.spec.predictor.is_heterogeneous else 1
