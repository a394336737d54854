"""Validation of single objects: parse a raw object, and run the rules for its kind.

The CRDs check types only, since other controllers write the same kinds. The webhook validates at `kubectl apply`. The
operator validates again, because an object may have been stored before a rule existed or while the webhook was down.
Both give the same sentences. The rules are in `plan.rules.model` and `plan.rules.host`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.inferenceservice import HostMeta, InferenceService, InferenceServiceSpec
from manyserve.api.kube_model import KubeModel, Meta, carried
from manyserve.api.quantity import EXAMPLE
from manyserve.api.trainedmodel import TrainedModel, TrainedModelSpec
from manyserve.plan.rules import host as host_rules
from manyserve.plan.rules import model as model_rules
from manyserve.plan.rules.fields import FieldError, quoted, shape_problems
from manyserve.plan.rules.source import STORAGE_URI, source_error

__all__ = ["FieldError", "UnreadableError", "host_problems", "model_problems", "parse_host", "parse_model"]

Raw = Mapping[str, Any]
Part = TypeVar("Part", bound=KubeModel)


class UnreadableError(ValueError):
    """Raised for an object that does not parse as its kind."""

    def __init__(self, problems: list[FieldError]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse_model(raw: Raw) -> TrainedModel:
    """Return the model without its status, which users do not write. Raises `UnreadableError`."""
    spec = raw.get("spec")
    inner = spec.get("model") if isinstance(spec, Mapping) else None
    memory = inner.get("memory", "") if isinstance(inner, Mapping) else ""
    if isinstance(memory, bool) or not isinstance(memory, str | int):  # pydantic takes true for 1
        raise UnreadableError(
            [FieldError("spec.model.memory", f"{quoted(memory)} is not a quantity; it must be {EXAMPLE}")]
        )
    meta, parsed = _part("metadata", Meta, raw.get("metadata")), _part("spec", TrainedModelSpec, spec)
    return TrainedModel(metadata=meta, spec=parsed, unknown_fields=carried(TrainedModel, spec))


def parse_host(raw: Raw) -> InferenceService:
    """Return the host without its status, which users do not write. Raises `UnreadableError`."""
    spec = raw.get("spec")
    meta, parsed = _part("metadata", HostMeta, raw.get("metadata")), _part("spec", InferenceServiceSpec, spec)
    return InferenceService(metadata=meta, spec=parsed, unknown_fields=carried(InferenceService, spec))


def model_problems(model: TrainedModel | Raw, https: HttpsCredentials | None = None) -> list[FieldError]:
    """Return the errors of a model; with `https`, also the error of a source that the configuration does not allow."""
    try:
        parsed = model if isinstance(model, TrainedModel) else parse_model(model)
    except UnreadableError as error:
        return error.problems
    problems = [problem for rule in model_rules.RULES for problem in rule(parsed)]
    forbidden = source_error(parsed.spec.model.storage_uri, https) if https is not None and not problems else None
    return [*problems, FieldError(STORAGE_URI, forbidden)] if forbidden else problems


def host_problems(host: InferenceService | Raw) -> list[FieldError]:
    """Return the errors of a host."""
    try:
        parsed = host if isinstance(host, InferenceService) else parse_host(host)
    except UnreadableError as error:
        return error.problems
    return [problem for rule in host_rules.RULES for problem in rule(parsed)]


def _part(path: str, model: type[Part], data: Any) -> Part:
    if not isinstance(data, Mapping):
        raise UnreadableError([FieldError(path, f"{quoted(data)} is not allowed; it must be an object")])
    try:
        return model.from_wire(data)
    except ValidationError as error:
        raise UnreadableError(shape_problems(path, error)) from None
