"""What one object alone can tell: whether it is one that can be honoured at all.

The CRDs check types only, for other controllers write the same kinds. The webhook runs the rules at `kubectl apply`.
The operator runs them again, because objects may have been stored before a rule was, or past a webhook that was
down. Both give the same sentences. The rules themselves stand in `model_rules` and `service_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.inferenceservice import InferenceService, InferenceServiceSpec
from manyserve.api.kube_model import KubeModel, Meta
from manyserve.api.quantity import EXAMPLE
from manyserve.api.trainedmodel import TrainedModel, TrainedModelSpec
from manyserve.api.unknown_fields import carried
from manyserve.plan.rules import host as host_rules
from manyserve.plan.rules import model as model_rules
from manyserve.plan.rules.field_error import FieldError, quoted, shape_problems
from manyserve.plan.rules.source import STORAGE_URI, source_error

__all__ = ["FieldError", "UnreadableError", "host_problems", "model_problems", "parse_host", "parse_model"]

Raw = Mapping[str, Any]
Part = TypeVar("Part", bound=KubeModel)


class UnreadableError(ValueError):
    """An object that is not even of its kind's shape."""

    def __init__(self, problems: list[FieldError]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse_model(raw: Raw) -> TrainedModel:
    """Return the model, without its status, which is ours to write and not the user's. Raises `UnreadableError`."""
    spec = raw.get("spec")
    inner = spec.get("model") if isinstance(spec, Mapping) else None
    memory = inner.get("memory", "") if isinstance(inner, Mapping) else ""
    if isinstance(memory, bool) or not isinstance(memory, str | int):  # pydantic takes true for 1
        raise UnreadableError(
            [FieldError("spec.model.memory", f"{quoted(memory)} is not a quantity; it must be {EXAMPLE}")]
        )
    meta, parsed = _meta(raw), _part("spec", TrainedModelSpec, spec)
    return TrainedModel(metadata=meta, spec=parsed, unknown_fields=carried(TrainedModel, spec))


def parse_host(raw: Raw) -> InferenceService:
    """Return the host, without its status, which is ours to write and not the user's. Raises `UnreadableError`."""
    spec = raw.get("spec")
    meta, parsed = _meta(raw), _part("spec", InferenceServiceSpec, spec)
    return InferenceService(metadata=meta, spec=parsed, unknown_fields=carried(InferenceService, spec))


def model_problems(model: TrainedModel | Raw, https: HttpsCredentials | None = None) -> list[FieldError]:
    """Return everything that is wrong with a model by itself; with a configuration, what that forbids, too."""
    try:
        parsed = model if isinstance(model, TrainedModel) else parse_model(model)
    except UnreadableError as error:
        return error.problems
    found = [problem for rule in model_rules.RULES for problem in rule(parsed)]
    forbidden = source_error(parsed.spec.model.storage_uri, https) if https is not None and not found else None
    return [*found, FieldError(STORAGE_URI, forbidden)] if forbidden else found


def host_problems(host: InferenceService | Raw) -> list[FieldError]:
    """Return everything that is wrong with a host by itself."""
    try:
        parsed = host if isinstance(host, InferenceService) else parse_host(host)
    except UnreadableError as error:
        return error.problems
    return [problem for rule in host_rules.RULES for problem in rule(parsed)]


def _meta(raw: Raw) -> Meta:
    return _part("metadata", Meta, raw.get("metadata"))


def _part(path: str, model: type[Part], data: Any) -> Part:
    if not isinstance(data, Mapping):
        raise UnreadableError([FieldError(path, f"{quoted(data)} is not allowed; it must be an object")])
    try:
        return model.from_wire(data)
    except ValidationError as error:
        raise UnreadableError(shape_problems(path, error)) from None
