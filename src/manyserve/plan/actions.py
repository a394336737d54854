"""Actions of a plan, as data. `cluster.apply` executes them in the order of the fields of `Plan`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Any, Literal, NamedTuple

from manyserve.api.conditions import merge_conditions
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModelStatus
from manyserve.plan.observed import Child, Manifest
from manyserve.plan.staging import Turn

Status = InferenceServiceStatus | TrainedModelStatus


@dataclass(frozen=True)
class Apply:
    """Server-side apply of an object; `reason` names the first difference, for the log."""

    manifest: Manifest
    reason: str
    take_over: bool = True
    """True if an object that another controller made for this host is taken over now."""
    resource_version: str | None = None
    """A precondition: the object has this version, since the manifest has a number of another owner."""


@dataclass(frozen=True)
class Delete:
    """Delete a child that is no longer wanted. `uid` is a precondition."""

    child: Child
    uid: str
    reason: str


@dataclass(frozen=True)
class WriteConfig:
    """Write the ConfigMap of `models.json`: create it, or replace it if it still has this resourceVersion."""

    manifest: Manifest
    resource_version: str | None


@dataclass(frozen=True)
class ConfigRefresh:
    """Patch an annotation of a pod, so that the kubelet remounts its ConfigMap at once."""

    pod: str
    uid: str
    config_hash: str


@dataclass(frozen=True)
class SetOwnerReferences:
    """Replace the owner references of a model, if they are still equal to `before`."""

    model: str
    owners: tuple[dict[str, Any], ...]
    before: tuple[dict[str, Any], ...]


class ModelVersion(NamedTuple):
    """One version of a model: uid and resourceVersion are preconditions of its deletion."""

    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class Depart:
    """Ask the API server whether a host is gone, and if so delete these of its models; none in the grace period."""

    uid: str
    """Uid of the host."""
    models: tuple[ModelVersion, ...] = ()
    decided: bool = False
    """The API server has confirmed before that the host is gone. A newer host of this name does not keep the models."""
    left: int = 0
    """Number of models that later plans delete."""


PROGRESS_GRACE = 2.0  # seconds for which a transient status waits: a model that is ready by then costs one write


class Priority(IntEnum):
    """The order in which statuses are written; the lowest number is first."""

    FINAL = 0
    """A model is ready, failed or refused, or `Ready` falls; so are all conditions of a host."""
    PROGRESS = 1
    """Progress of a model that does not answer yet, or of further copies, or the totals of a host."""
    CHANGED = 2
    """The first progress of a spec, while the previous version may still answer."""
    TRANSIENT = 3
    """A status that is soon outdated: the first progress of a new model, or that of a model that is deleted soon."""


@dataclass(frozen=True)
class SetStatus:
    """Write the status of the host or of a model, as the difference between the stored and the desired one."""

    kind: Literal["InferenceService", "TrainedModel"]
    name: str
    uid: str
    before: Status
    after: Status
    priority: Priority = Priority.FINAL

    @property
    def subject(self) -> tuple[str, str]:
        """Kind and name of the object."""
        return self.kind, self.name

    def rebase(self, current: Status, now: datetime) -> SetStatus:
        """Return the update from the current status, which may be newer than the one that it was planned from."""
        if current is self.before:
            return self
        carried = merge_conditions(current.conditions, self.after.conditions, now)
        return replace(self, before=current, after=self.after.model_copy(update={"conditions": carried}))

    @property
    def patch(self) -> dict[str, Any]:
        """The merge patch from `before` to `after`. It is computed when it is sent, since thousands may be queued."""
        return _merge_patch(self.before.to_wire(), self.after.to_wire())


@dataclass(frozen=True)
class Event:
    """Send a Kubernetes event about the host or a model."""

    kind: Literal["InferenceService", "TrainedModel"]
    name: str
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    once: bool = False
    """The name is derived from the content, so that another replica, or a restart, does not repeat the event."""

    @property
    def subject(self) -> tuple[str, str]:
        """Kind and name of the object."""
        return self.kind, self.name


def by_subject(events: Iterable[Event]) -> dict[tuple[str, str], tuple[Event, ...]]:
    """Return the events of each object, in their order."""
    events_of: dict[tuple[str, str], tuple[Event, ...]] = {}
    for event in events:
        events_of[event.subject] = (*events_of.get(event.subject, ()), event)
    return events_of


@dataclass(frozen=True)
class Plan:
    """All actions for one host now."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    configs: tuple[WriteConfig, ...] = ()
    """The writes of `models.json`, one a shard."""
    config_refreshes: tuple[ConfigRefresh, ...] = ()
    owner_references: tuple[SetOwnerReferences, ...] = ()
    departures: tuple[Depart, ...] = ()
    statuses: tuple[SetStatus, ...] = ()
    events: tuple[Event, ...] = ()
    turn: Turn | None = None
    """The turn of the host, while the operator's own version or configuration changes the template of its pods."""
    requeue_after: float | None = None
    """Seconds until the next plan, when time alone may change it."""

    @property
    def changes_config(self) -> bool:
        """True if an existing `models.json` is replaced."""
        return any(each.resource_version is not None for each in self.configs)

    @property
    def empty(self) -> bool:
        """True if the plan writes nothing."""
        writes = (
            self.applies,
            self.deletes,
            self.configs,
            self.config_refreshes,
            self.owner_references,
            self.statuses,
            self.events,
        )
        return not any(writes) and not any(each.models for each in self.departures)


def _merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = _merge_patch(old, value)
            patch |= {key: inner} if inner else {}
        elif old != value:
            patch[key] = value
    return patch
