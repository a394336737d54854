"""Rules for one TrainedModel, independent of its host.

A rule takes the model and yields errors. The webhook runs `RULES` at `kubectl apply`, and the operator runs them again
before it places a model. `RULES` is the specification. The rules for storage URIs are in `plan.rules.source`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from manyserve.api.quantity import REFRESH_SENTENCE, SHORTEST_REFRESH, parse_duration
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
from manyserve.plan.rules import allocation as allocation_rules
from manyserve.plan.rules import source as source_rules
from manyserve.plan.rules.fields import FieldError, model_fields_are_known, quoted

Rule = Callable[[TrainedModel], Iterator[FieldError]]

_MODEL_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_HOST = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_LIMIT = 63
_FRAMEWORK = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")


def name_fits_into_a_url(model: TrainedModel) -> Iterator[FieldError]:
    """Require a name that fits into a URL, since it is the name of the model on the server."""
    if len(model.metadata.name) > NAME_LIMIT or not _MODEL_NAME.fullmatch(model.metadata.name):
        yield FieldError("metadata.name", f"{quoted(model.metadata.name)} is not allowed; {MODEL_NAME_SENTENCE}")


def host_name_is_valid(model: TrainedModel) -> Iterator[FieldError]:
    """Require a valid name of an InferenceService, which may not exist yet."""
    host = model.spec.inference_service
    if len(host) > _LABEL_LIMIT or not _HOST.fullmatch(host):
        yield FieldError(
            "spec.inferenceService", f"{quoted(host)} is not the name of an InferenceService; {NAME_SENTENCE}"
        )


def framework_is_a_word(model: TrainedModel) -> Iterator[FieldError]:
    """Require one word; `capacity.framework_error` checks the support of the host's server."""
    framework = model.spec.model.framework
    if len(framework) > _LABEL_LIMIT or not _FRAMEWORK.fullmatch(framework):
        yield FieldError("spec.model.framework", f"{quoted(framework)} is not a framework; it {FRAMEWORK_SENTENCE}")


def memory_is_a_positive_quantity(model: TrainedModel) -> Iterator[FieldError]:
    """Require a whole number of bytes above 0, since placement sums it up."""
    try:
        declared(model)
    except ValueError as error:
        yield FieldError("spec.model.memory", str(error))


def digest_is_valid(model: TrainedModel) -> Iterator[FieldError]:
    """Require of an optional digest the form that agents compare with."""
    digest = model.spec.model.digest
    if digest is not None and not re.fullmatch(DIGEST, digest):
        yield FieldError("spec.model.digest", f"{quoted(digest)} is not a digest; it {DIGEST_SENTENCE}")


def refresh_interval_is_valid(model: TrainedModel) -> Iterator[FieldError]:
    """Require of an optional refresh interval a duration of at least `SHORTEST_REFRESH`, which limits requests."""
    interval = model.spec.model.refresh_interval
    try:
        is_valid = interval is None or parse_duration(interval) >= SHORTEST_REFRESH
    except ValueError:
        is_valid = False
    if not is_valid:
        yield FieldError("spec.model.refreshInterval", f"{quoted(interval)} is not allowed; it {REFRESH_SENTENCE}")


RULES: tuple[Rule, ...] = (
    name_fits_into_a_url,
    host_name_is_valid,
    framework_is_a_word,
    memory_is_a_positive_quantity,
    *source_rules.RULES,
    digest_is_valid,
    refresh_interval_is_valid,
    *allocation_rules.MODEL_RULES,
    model_fields_are_known,
)
