"""Departures: deletion of the models of a host that is gone.

`follow` updates the records of a host name between two snapshots. `plan_departures` selects the models of a snapshot
that are to be deleted. `cluster.departures` deletes them, after a live check with the API server.

Kubernetes deletes no model. So references of models to InferenceServices are removed, and all other owner references
stay. Earlier releases and KServe wrote them. A reference names a uid, so Kubernetes would delete a model that is
restored from a backup. See docs/decisions/0001-the-operator-deletes-a-hosts-models.md.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import Depart, ModelVersion, SetOwnerReferences
from manyserve.plan.observed import Departure, Observed

GRACE_PERIOD = 5.0
"""Seconds in which a host of the same name may come back before the models of the old host are deleted."""
DELETIONS_PER_PLAN = 100
BURST_PERIOD = 1.0
"""Seconds between two plans that delete models of a host."""


def host_uid(model: TrainedModel) -> str | None:
    """Return the uid of the host that placed the model, or None if `placedBy` is of another object or host name."""
    placed_by, host_name = model.status.placed_by, model.spec.inference_service
    if placed_by is None or placed_by.name != host_name or model.status.observed_uid != model.metadata.uid:
        return None
    return placed_by.uid


def follow(
    before: Mapping[str, Departure], uids: Collection[str], present: str | None, now: float
) -> dict[str, Departure]:
    """Return the departures of a host name, by the uid of the host.

    Parameters
    ----------
    uids
        Uids of the hosts that placed the models of this host name.
    present
        Uid of the host that has the name now; None when there is none.
    now
        Seconds of a monotonic clock.
    """
    gone = {uid: before.get(uid) for uid in uids if uid != present}
    if present is not None:
        return {uid: _at(each, now) for uid, each in gone.items() if each is not None and each.decided}
    return {uid: _at(each or Departure(now), now) for uid, each in gone.items()}


def _at(departure: Departure, now: float) -> Departure:
    """Return the departure with the remaining seconds at this time."""
    grace = departure.since + GRACE_PERIOD - now
    burst = departure.last_burst + BURST_PERIOD - now if departure.last_burst is not None else 0.0
    return replace(departure, left=max(grace, burst, 0.0))


@dataclass(frozen=True)
class DepartingModels:
    """Models of a snapshot, sorted by the departure of their host."""

    actions: tuple[Depart, ...] = ()
    without_status: frozenset[str] = frozenset()
    """Models without a status write in this plan: the plan deletes them, or their host may come back."""
    leaving: frozenset[str] = frozenset()
    """Models that this plan or a later one deletes."""
    kept: frozenset[str] = frozenset()
    """Models that stay although their host is gone."""
    requeue_after: float | None = None
    """Seconds until the next plan."""


def plan_departures(observed: Observed) -> DepartingModels:
    """Sort the models of a snapshot by the departure of their host, and plan the deletions that are due."""
    if not observed.departures:
        return DepartingModels()
    orphaned = observed.host is None and any(_has_no_owner(child) for child in observed.children.values())
    groups = defaultdict[_Decision, dict[str, list[TrainedModel]]](dict)
    for model in _alive(observed.models):
        uid = host_uid(model)
        departure = observed.departures.get(uid) if uid else None
        if uid is not None and departure is not None:
            groups[_decide(departure, orphaned=orphaned)].setdefault(uid, []).append(model)
    deletes = tuple(_deletes(observed.departures, groups[_Decision.DUE]))
    deleted_now = frozenset(model.name for action in deletes for model in action.models)
    undecided, later = groups[_Decision.GRACE], groups[_Decision.LATER]
    delays = (*(observed.departures[uid].left for uid in (*undecided, *later)), *([BURST_PERIOD] if deletes else ()))
    return DepartingModels(
        actions=(*map(Depart, sorted(undecided)), *deletes),
        without_status=deleted_now | _names(undecided),
        leaving=_names(groups[_Decision.DUE]) | _names(later),
        kept=_names(groups[_Decision.KEPT]),
        requeue_after=min(delays, default=None),
    )


class _Decision(Enum):
    KEPT = auto()
    GRACE = auto()
    LATER = auto()
    """Deleted by a later plan."""
    DUE = auto()


def _decide(departure: Departure, *, orphaned: bool) -> _Decision:
    if departure.kept or (orphaned and not departure.decided):
        return _Decision.KEPT
    if departure.left > 0:
        return _Decision.LATER if departure.decided else _Decision.GRACE
    return _Decision.DUE


def _deletes(departures: Mapping[str, Departure], due: Mapping[str, list[TrainedModel]]) -> Iterator[Depart]:
    """Yield the deletions of this plan: at most `DELETIONS_PER_PLAN` models, the oldest first."""
    free = DELETIONS_PER_PLAN
    for uid, models in sorted(due.items()):
        oldest_first = sorted(models, key=lambda model: (model.metadata.creation_timestamp, model.metadata.name))
        versions = tuple(map(_version, itertools.islice(oldest_first, free)))
        free -= len(versions)
        if versions:
            yield Depart(uid, versions, decided=departures[uid].decided, left=len(models) - len(versions))


def _names(by_host: Mapping[str, list[TrainedModel]]) -> frozenset[str]:
    return frozenset(model.metadata.name for models in by_host.values() for model in models)


def _version(model: TrainedModel) -> ModelVersion:
    return ModelVersion(model.metadata.name, model.metadata.uid, model.metadata.resource_version)


def _alive(models: Iterable[TrainedModel]) -> Iterator[TrainedModel]:
    return (each for each in models if not each.metadata.deletion_timestamp)


def _has_no_owner(child: Mapping[str, object]) -> bool:
    metadata = child["metadata"]
    return isinstance(metadata, Mapping) and not metadata.get("ownerReferences")


def owner_reference_updates(models: Iterable[TrainedModel]) -> tuple[SetOwnerReferences, ...]:
    """Return the writes that remove references to InferenceServices from models that are not being deleted."""
    owned = (each for each in models if each.metadata.owner_references and not each.metadata.deletion_timestamp)
    return tuple(filter(None, map(_update, owned)))


def _update(model: TrainedModel) -> SetOwnerReferences | None:
    before = model.metadata.owner_references
    others = tuple(owner for owner in before if not _is_host(owner))
    return SetOwnerReferences(model.metadata.name, others, tuple(before)) if len(others) < len(before) else None


def _is_host(owner: Mapping[str, Any]) -> bool:
    return owner.get("kind") == "InferenceService" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
