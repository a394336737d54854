"""Review of an InferenceService against the models that are on it.

A host keeps enough memory for its models, and a server that supports their frameworks. The memory of a host that is
over its limit already may be raised by any amount.
"""

from __future__ import annotations

from collections.abc import Iterator

from manyserve.api.inferenceservice import ALLOCATION_SENTENCE, InferenceService
from manyserve.api.names import Key
from manyserve.plan.capacity import cannot_shrink, framework_error, is_multi_model, multi_model_error, predictor_name
from manyserve.plan.memory import fits, total_limit
from manyserve.plan.rules.arguments import unused_arguments
from manyserve.plan.rules.ignored import ignored_fields
from manyserve.plan.rules.validation import UnreadableError, parse_host
from manyserve.webhook.admission import AdmissionRequest, Decision, allowed, forbidden
from manyserve.webhook.cache import View


def review_host(request: AdmissionRequest, view: View) -> Decision:
    """Decide on a new host, or on a host with a changed spec, after the rules."""
    try:
        new = parse_host(request.object)
        old = parse_host(request.old) if request.old else None
    except UnreadableError:
        return allowed()
    host = request.host_key(new.metadata.name)
    refusal = _review_change(host, old, new, view) if old is not None else None
    return refusal or allowed(*_warnings(new), *ignored_fields(new), *unused_arguments(new))


def _review_change(host: Key, old: InferenceService, new: InferenceService, view: View) -> Decision | None:
    if old.spec.predictor.is_heterogeneous != new.spec.predictor.is_heterogeneous:
        return forbidden("spec.predictor.allocation", ALLOCATION_SENTENCE)
    limit, used = total_limit(new), view.used(host)
    if limit < total_limit(old) and not fits(used, 0, limit):
        return forbidden("spec.predictor", cannot_shrink(host.name, limit, used, view.largest_consumers(host)))
    error = next(_model_errors(host, old, new, view), None)
    return forbidden("spec.predictor", f"{error}; delete or move its models first") if error else None


def _model_errors(host: Key, old: InferenceService, new: InferenceService, view: View) -> Iterator[str]:
    """Yield the reasons why models on the host could not stay. A host without models may change to any server."""
    frameworks = sorted(view.frameworks(host))
    if frameworks and is_multi_model(old, view.config):
        error = multi_model_error(new, view.config)
        if error:
            yield error
    if predictor_name(old) != predictor_name(new):
        errors = (framework_error(new, framework, view.config) for framework in frameworks)
        yield from (error for error in errors if error)


def _warnings(host: InferenceService) -> Iterator[str]:
    resources = host.spec.predictor.server.resources
    requests = (resources.requests if resources else None) or {}
    limits = (resources.limits if resources else None) or {}
    if "memory" in requests and "memory" not in limits:
        yield f"limits.memory is not set, so requests.memory ({requests['memory']}) is the limit for the models' sum"
