"""Rules for unknown and unsupported fields: each is refused by its path.

The CRDs preserve unknown fields, so the API server would store a misspelt one without effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from manyserve.api.inferenceservice import FRAMEWORKS, InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.api.unsupported import UNSUPPORTED
from manyserve.plan.rules.field_error import FieldError

UNKNOWN_SENTENCE = "is not a field that manyserve knows; it must be left out, or be one that kubectl explain lists"

_UNSUPPORTED = {(field.level, field.name) for field in UNSUPPORTED}
_SERVER = re.compile(rf"spec\.predictor\.(?:{'|'.join(FRAMEWORKS)}|model|containers\[[0-9]+\])")


def host_fields_are_known(host: InferenceService) -> Iterator[FieldError]:
    """Refuse unknown fields, and those of KServe that are not supported yet."""
    for path in host.unknown_fields:
        parent, _, name = path.rpartition(".")
        if (_level(parent), name) in _UNSUPPORTED:
            yield FieldError(path, f"{path if parent == 'spec' else name} is not supported yet")
        else:
            yield FieldError(path, UNKNOWN_SENTENCE)


def model_fields_are_known(model: TrainedModel) -> Iterator[FieldError]:
    """Refuse unknown fields."""
    for path in model.unknown_fields:
        yield FieldError(path, UNKNOWN_SENTENCE)


def _level(parent: str) -> str:
    if parent == "spec":
        return parent
    if parent == "spec.predictor":
        return "predictor"
    return "server" if _SERVER.fullmatch(parent) else ""
