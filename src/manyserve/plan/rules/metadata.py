"""Rules for the labels and annotations of a host."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.visibility import CLUSTER_LOCAL, EXPOSED, VISIBILITY_LABELS


def visibility_is_known(host: InferenceService) -> Iterator[FieldError]:
    """Require a known visibility: a misspelt one would give the host an address outside the cluster."""
    for label in VISIBILITY_LABELS:
        value = host.metadata.labels.get(label, EXPOSED)
        if value not in (CLUSTER_LOCAL, EXPOSED):
            sentence = f"{quoted(value)} is not allowed; it must be {CLUSTER_LOCAL} or {EXPOSED}, or be left out"
            yield FieldError(f"metadata.labels[{label}]", sentence)


RULES: tuple[Callable[[InferenceService], Iterator[FieldError]], ...] = (visibility_is_known,)
