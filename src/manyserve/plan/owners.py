"""Which InferenceService owns a model: the one that accepted it, so that its deletion takes the model along.

Only references to InferenceServices are ours; others stay as they are. A model that moved to another host
loses the old reference at once, or the old host's deletion would delete it.
"""

from __future__ import annotations

from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import SetOwners
from manyserve.plan.objects import owner_reference


def set_owners(model: TrainedModel, service: InferenceService | None, *, placed: bool) -> SetOwners | None:
    """Return the write that makes the model's owners right, or None when they are."""
    if model.metadata.deletion_timestamp:
        return None
    old = model.metadata.owner_references
    kept = tuple(each for each in old if not _is_service(each) or _names_host(each, model))
    if service is not None and placed:
        ours = owner_reference(service, controller=False)
        kept = (*(each for each in kept if not _is_service(each)), ours)
        if any(each.get("uid") == service.metadata.uid for each in old) and len(kept) == len(old):
            return None
    if len(kept) == len(old) and all(each in old for each in kept):
        return None
    return SetOwners(model.metadata.name, kept, tuple(old))


def _is_service(owner: dict[str, Any]) -> bool:
    return owner.get("kind") == "InferenceService" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")


def _names_host(owner: dict[str, Any], model: TrainedModel) -> bool:
    return bool(owner.get("name") == model.spec.inference_service)
