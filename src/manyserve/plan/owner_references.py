"""Owner references of models: those to InferenceServices are removed, all others stay.

Earlier releases and KServe wrote them. A reference names a uid, so Kubernetes deletes a model that is restored
from a backup: docs/decisions/0001-the-operator-deletes-a-hosts-models.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import SetOwnerReferences


def owner_reference_updates(models: Iterable[TrainedModel]) -> tuple[SetOwnerReferences, ...]:
    """Return the writes that remove references to InferenceServices from models that are not being deleted."""
    found = (each for each in models if each.metadata.owner_references and not each.metadata.deletion_timestamp)
    return tuple(filter(None, map(_removed, found)))


def _removed(model: TrainedModel) -> SetOwnerReferences | None:
    before = model.metadata.owner_references
    kept = tuple(each for each in before if not _is_host(each))
    return SetOwnerReferences(model.metadata.name, kept, tuple(before)) if len(kept) < len(before) else None


def _is_host(owner: Mapping[str, Any]) -> bool:
    return owner.get("kind") == "InferenceService" and str(owner.get("apiVersion", "")).startswith(f"{GROUP}/")
