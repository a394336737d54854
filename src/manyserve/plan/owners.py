"""Which InferenceService owns a model: the one that accepted it, so that its deletion takes the model along.

Only references to InferenceServices are ours; others stay as they are. A model that moved to another host
loses the old reference at once, or the old host's deletion would delete it.

Models whose host is gone are deleted by Kubernetes, some hundreds a second: they are not told that they wait for it
before that should have happened.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import SetOwners
from manyserve.plan.objects import owner_reference
from manyserve.plan.observed import Observed

GRACE = 10.0
"""Seconds that Kubernetes has to delete what belonged to a host."""
GRACE_A_MODEL = 0.005


def going(observed: Observed, now: datetime) -> tuple[frozenset[str], float | None]:
    """Return which models are to be deleted with their host, and the seconds until that is not believed any more."""
    if observed.leaves_since is None:
        return frozenset(), None
    owned = frozenset(model.metadata.name for model in observed.models if _goes_with_host(model))
    left = GRACE + GRACE_A_MODEL * len(owned) - (now - observed.leaves_since).total_seconds()
    return (owned, left) if owned and left > 0 else (frozenset(), None)


def all_owners(observed: Observed, placed: Collection[str] = ()) -> tuple[SetOwners, ...]:
    """Return the writes that make the owners of all models right; the host owns those that are placed."""
    ours = owner_reference(observed.service, controller=False) if observed.service and placed else None
    writes = (set_owners(each, ours if each.metadata.name in placed else None) for each in observed.models)
    return tuple(filter(None, writes))


def set_owners(model: TrainedModel, ours: dict[str, Any] | None) -> SetOwners | None:
    """Return the write that makes the model's owners right, or None when they are; `ours` is whose it is to be."""
    if model.metadata.deletion_timestamp:
        return None
    old = model.metadata.owner_references
    if ours is not None and len(old) == 1 and old[0].get("uid") == ours["uid"] and _is_service(old[0]):
        return None
    kept = tuple(each for each in old if not _is_service(each) or _names_host(each, model))
    if ours is not None:
        kept = (*(each for each in kept if not _is_service(each)), ours)
        if any(each.get("uid") == ours["uid"] for each in old) and len(kept) == len(old):
            return None
    if len(kept) == len(old) and all(each in old for each in kept):
        return None
    return SetOwners(model.metadata.name, kept, tuple(old), model.metadata.creation_timestamp)


def _goes_with_host(model: TrainedModel) -> bool:
    owners = model.metadata.owner_references
    return bool(owners) and all(_is_service(each) and _names_host(each, model) for each in owners)


def _is_service(owner: dict[str, Any]) -> bool:
    return owner.get("kind") == "InferenceService" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")


def _names_host(owner: dict[str, Any], model: TrainedModel) -> bool:
    return bool(owner.get("name") == model.spec.inference_service)
