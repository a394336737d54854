"""Field `deploymentStrategy` of a predictor: how new pods replace old ones, in the form of apps/v1."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, WithJsonSchema

from manyserve.api.kube_model import KubeModel

RECREATE = "Recreate"
ROLLING_UPDATE = "RollingUpdate"
_PERCENTAGE = re.compile(r"([0-9]{1,4})%")

PodCount = Annotated[
    int | str,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
"""A number of pods, or a percentage of the replicas such as `25%`."""


class RollingUpdate(KubeModel):
    """Bounds of the number of pods during a roll-out."""

    max_unavailable: Annotated[
        PodCount | None, Field(description="Most pods that may be missing; unset: 0, or 1 when maxSurge is 0.")
    ] = None
    max_surge: Annotated[PodCount | None, Field(description="Most pods above the replicas; unset: 25%.")] = None


class DeploymentStrategy(KubeModel):
    """How new pods replace old ones."""

    type: Annotated[
        str | None,
        Field(
            description="RollingUpdate, or Recreate: all old pods end before new ones start, and nothing answers "
            "meanwhile. Unset: RollingUpdate.",
        ),
    ] = None
    rolling_update: Annotated[RollingUpdate | None, Field(description="Bounds for type RollingUpdate.")] = None


def is_zero(count: PodCount | None) -> bool:
    """Return whether a number of pods, or a percentage, is 0."""
    return count == 0 or percentage(count) == 0


def percentage(count: PodCount | None) -> int | None:
    """Return the number of a percentage such as `25%`, or None for anything else."""
    match = _PERCENTAGE.fullmatch(count) if isinstance(count, str) else None
    return int(match[1]) if match else None
