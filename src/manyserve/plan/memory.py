"""Declared memory: the bytes of a model, their sum on a host, and the limit that the sum never exceeds.

The operator places models by it, and the webhook admits them by it. The sentences about it are in `plan.capacity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import parse_memory
from manyserve.api.trainedmodel import TrainedModel

DEFAULT_MEMORY = "2Gi"
"""Memory limit of a server without one."""


@dataclass(frozen=True)
class MemoryShare:
    """Bytes that one model uses of a host."""

    model: str
    memory: int


@lru_cache(maxsize=1024, typed=True)  # thousands of models declare few sizes; 1 is a quantity, True and 1.0 are not
def declared_bytes(memory: Any) -> int:
    """Return the bytes of a declared memory. Raises `ValueError` with a sentence, `TypeError` for a list or a map."""
    return parse_memory(memory)


def declared(model: TrainedModel | Entry) -> int:
    """Return the bytes that a model declares in its object or in `models.json`. Raises `ValueError`."""
    return declared_bytes(model.model_spec.memory if isinstance(model, Entry) else model.spec.model.memory)


def declared_or_zero(model: TrainedModel | Entry) -> int:
    """Return the bytes that a model declares, or 0 for an unreadable quantity."""
    try:
        return declared(model)
    except ValueError:
        return 0


def memory_limit(host: InferenceService) -> int:
    """Return the bytes that the host's models may declare in total: the memory limit of the server's container.

    An unreadable limit is 0: no model fits, and the API server refuses the Deployment with its own sentence.
    """
    resources = host.spec.predictor.server.resources
    limits = (resources.limits or {}) if resources else {}
    requests = (resources.requests or {}) if resources else {}
    try:
        return parse_memory(limits.get("memory", requests.get("memory", DEFAULT_MEMORY)))
    except ValueError:
        return 0


def least_copies(model: TrainedModel) -> int:
    """Return the fewest copies of a model; the memory of each counts."""
    return max(model.spec.min_replicas or 1, 1)


def most_pods(host: InferenceService) -> int:
    """Return the most pods with models of their own: 1 for a homogeneous host, since its pods hold the same models."""
    predictor = host.spec.predictor
    if not predictor.is_heterogeneous:
        return 1
    return max(predictor.min_replicas or 1, predictor.max_replicas or 1)


def total_limit(host: InferenceService) -> int:
    """Return the bytes that the host's models may declare on all its pods."""
    return memory_limit(host) * most_pods(host)


def fits(used: int, wanted: int, limit: int) -> bool:
    """Return whether `wanted` bytes fit beside the used ones."""
    return used + wanted <= limit


@dataclass
class Usage:
    """Running sum of the memory of models. The keys are names or uids."""

    of: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, key: str, memory: int) -> None:
        """Add a model, which must not be counted yet."""
        self.of[key] = memory
        self.total += memory

    def remove(self, key: str) -> None:
        """Remove a model, which must be counted."""
        self.total -= self.of.pop(key)

    def shares(self) -> Iterator[MemoryShare]:
        """Yield the share of each model. The keys must be names."""
        return (MemoryShare(name, memory) for name, memory in self.of.items())
