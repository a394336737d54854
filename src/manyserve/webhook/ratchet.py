"""What an update makes wrong, leaving out what was wrong in the same way before.

The API server treats its own schema rules so (it calls it ratcheting): a rule that is newer than an object
must not lock its user out of it. An unknown field is wrong in the same way while its value is the same.
"""

from __future__ import annotations

from collections.abc import Callable

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.api.unknown_fields import Whole, unknown_fields
from manyserve.plan.rules.field_error import FieldError
from manyserve.webhook.admission_request import AdmissionRequest, Raw

_KINDS: dict[str, type[Whole]] = {"InferenceService": InferenceService, "TrainedModel": TrainedModel}


def new_violations(problems_of: Callable[[Raw], list[FieldError]], request: AdmissionRequest) -> list[FieldError]:
    """Return the problems of the object that the old one did not have."""
    problems = problems_of(request.object)
    if not problems or request.old is None:
        return problems
    before = set(problems_of(request.old))
    touched = _touched(_KINDS[request.kind], request.object, request.old)
    return [each for each in problems if each not in before or each.path in touched]


def _touched(kind: type[Whole], thing: Raw, old: Raw) -> set[str]:
    """Return the paths of the unknown fields with another value than before."""
    before = dict(unknown_fields(kind, old.get("spec")))
    return {path for path, value in unknown_fields(kind, thing.get("spec")) if before.get(path) != value}
