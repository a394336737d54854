"""Review of an InferenceService: by itself, and for the models that are on it.

A host keeps enough memory for its models, and a server that supports their frameworks. A host that is over its limit
already may still be raised, by little or by much.
"""

from __future__ import annotations

from collections.abc import Iterator

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.plan.capacity import cannot_shrink, framework_error, is_multi_model, multi_model_error, predictor_name
from manyserve.plan.memory import fits, memory_limit
from manyserve.plan.rules.ignored import ignored_fields
from manyserve.plan.rules.validation import UnreadableError, host_problems, parse_host
from manyserve.webhook.admission_request import AdmissionRequest
from manyserve.webhook.cache import View
from manyserve.webhook.ratchet import new_violations
from manyserve.webhook.response import Decision, allowed, forbidden, invalid


def review_host(request: AdmissionRequest, view: View) -> Decision:
    """Return the verdict on a host that is created or whose spec changes."""
    problems = new_violations(host_problems, request)
    if problems:
        return invalid(problems)
    try:
        new = parse_host(request.object)
        old = parse_host(request.old) if request.old else None
    except UnreadableError:
        return allowed()
    host = request.host(new.metadata.name)
    refusal = _judge_change(host, old, new, view) if old is not None else None
    return refusal or allowed(*_hints(new), *ignored_fields(new))


def _judge_change(host: Key, old: InferenceService, new: InferenceService, view: View) -> Decision | None:
    limit, used = memory_limit(new), view.used(host)
    if limit < memory_limit(old) and not fits(used, 0, limit):
        return forbidden("spec.predictor", cannot_shrink(host.name, limit, used, view.largest_consumers(host)))
    sentence = next(_losses(host, old, new, view), None)
    return forbidden("spec.predictor", f"{sentence}; delete or move its models first") if sentence else None


def _losses(host: Key, old: InferenceService, new: InferenceService, view: View) -> Iterator[str]:
    """Yield the reasons why models on the host could not stay; a host without models may become anything."""
    frameworks = sorted(view.frameworks(host))
    if frameworks and is_multi_model(old, view.config):
        error = multi_model_error(new, view.config)
        if error:
            yield error
    if predictor_name(old) != predictor_name(new):
        errors = (framework_error(new, framework, view.config) for framework in frameworks)
        yield from (error for error in errors if error)


def _hints(host: InferenceService) -> Iterator[str]:
    resources = host.spec.predictor.server.resources
    requests = (resources.requests if resources else None) or {}
    limits = (resources.limits if resources else None) or {}
    if "memory" in requests and "memory" not in limits:
        yield f"limits.memory is not set, so requests.memory ({requests['memory']}) is the limit for the models' sum"
