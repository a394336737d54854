"""What a plan says is to be done, as data. `cluster.apply` carries it out in the order of the fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from manyserve.plan.observed import Child, Manifest


@dataclass(frozen=True)
class Apply:
    """Server-side apply of an object; `because` names the first difference, for the log."""

    manifest: Manifest
    because: str


@dataclass(frozen=True)
class Delete:
    """Delete a child of ours that is no longer wanted. `uid` is a precondition."""

    child: Child
    uid: str
    because: str


@dataclass(frozen=True)
class WriteConfig:
    """Write `models.json`: create it, or replace it if it still has this resourceVersion."""

    manifest: Manifest
    resource_version: str | None


@dataclass(frozen=True)
class Nudge:
    """Touch a pod's annotation, so that the kubelet remounts its ConfigMap at once."""

    pod: str
    uid: str
    config_hash: str


@dataclass(frozen=True)
class SetOwners:
    """Replace the owner references of a model, if it still has this resourceVersion."""

    model: str
    owners: tuple[dict[str, Any], ...]
    resource_version: str


@dataclass(frozen=True)
class SetStatus:
    """Write the status of the host or of a model: a merge patch with what differs."""

    kind: Literal["InferenceService", "TrainedModel"]
    name: str
    uid: str
    patch: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """Tell the user, on the object that it is about."""

    kind: Literal["InferenceService", "TrainedModel"]
    name: str
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True)
class Plan:
    """Everything that is to be done for one host now."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    config: WriteConfig | None = None
    nudges: tuple[Nudge, ...] = ()
    owners: tuple[SetOwners, ...] = ()
    statuses: tuple[SetStatus, ...] = ()
    events: tuple[Event, ...] = ()
    look_again_after: float | None = None
    """Seconds, when time alone may change the plan."""

    @property
    def empty(self) -> bool:
        """Nothing is to be written."""
        return not (
            self.applies or self.deletes or self.config or self.nudges or self.owners or self.statuses or self.events
        )
