"""The rules for one TrainedModel, whatever its host.

Each takes the model and yields what is wrong. The webhook runs them at `kubectl apply`, and the operator again for
what is to be placed. `RULES` is the specification; those for where the model is stored stand in `source_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from manyserve.api.duration import REFRESH_SENTENCE, SHORTEST_REFRESH, parse_duration
from manyserve.api.trainedmodel import (
    DIGEST,
    DIGEST_SENTENCE,
    FRAMEWORK_SENTENCE,
    MODEL_NAME_SENTENCE,
    NAME_LIMIT,
    NAME_SENTENCE,
    TrainedModel,
)
from manyserve.plan.memory import declared
from manyserve.plan.rules import source as source_rules
from manyserve.plan.rules.field_error import FieldError, quoted
from manyserve.plan.rules.fields import every_field_of_a_model_is_known

Rule = Callable[[TrainedModel], Iterator[FieldError]]

_MODEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_HOST_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_LIMIT = 63
_FRAMEWORK = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")


def name_fits_into_a_url(model: TrainedModel) -> Iterator[FieldError]:
    """Require a name that can stand in a URL: it is the model's name on the server."""
    if len(model.metadata.name) > NAME_LIMIT or not _MODEL_NAME.fullmatch(model.metadata.name):
        yield FieldError("metadata.name", f"{quoted(model.metadata.name)} is not allowed; {MODEL_NAME_SENTENCE}")


def host_is_a_name(model: TrainedModel) -> Iterator[FieldError]:
    """Require the name of a host, in the model's own namespace, whether it exists yet or not."""
    host = model.spec.inference_service
    if len(host) > _LABEL_LIMIT or not _HOST_NAME.fullmatch(host):
        yield FieldError(
            "spec.inferenceService", f"{quoted(host)} is not the name of an InferenceService; {NAME_SENTENCE}"
        )


def framework_is_a_word(model: TrainedModel) -> Iterator[FieldError]:
    """Require one word; whether the host's server supports it is asked of the host."""
    framework = model.spec.model.framework
    if len(framework) > _LABEL_LIMIT or not _FRAMEWORK.fullmatch(framework):
        yield FieldError("spec.model.framework", f"{quoted(framework)} is not a framework; it {FRAMEWORK_SENTENCE}")


def memory_is_a_positive_quantity(model: TrainedModel) -> Iterator[FieldError]:
    """Require a whole number of bytes above 0, since sums of it decide."""
    try:
        declared(model)
    except ValueError as error:
        yield FieldError("spec.model.memory", str(error))


def content_has_a_digest(model: TrainedModel) -> Iterator[FieldError]:
    """Require of a digest, where there is one, the form that agents compare with."""
    found = model.spec.model.digest
    if found is not None and not re.fullmatch(DIGEST, found):
        yield FieldError("spec.model.digest", f"{quoted(found)} is not a digest; it {DIGEST_SENTENCE}")


def refresh_is_not_too_often(model: TrainedModel) -> Iterator[FieldError]:
    """Require of a refresh interval, where there is one, that stores are not asked without end."""
    found = model.spec.model.refresh_interval
    try:
        enough = found is None or parse_duration(found) >= SHORTEST_REFRESH
    except ValueError:
        enough = False
    if not enough:
        yield FieldError("spec.model.refreshInterval", f"{quoted(found)} is not allowed; it {REFRESH_SENTENCE}")


RULES: tuple[Rule, ...] = (
    name_fits_into_a_url,
    host_is_a_name,
    framework_is_a_word,
    memory_is_a_positive_quantity,
    *source_rules.RULES,
    content_has_a_digest,
    refresh_is_not_too_often,
    every_field_of_a_model_is_known,
)
