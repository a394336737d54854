"""Owner references of models: those to InferenceServices are removed, all others stay.

Earlier releases and KServe wrote them. A reference names a uid, so Kubernetes would delete a model that is restored
from a backup. See docs/decisions/0001-the-operator-deletes-a-hosts-models.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from manyserve.api.names import GROUP
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import SetOwnerReferences


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
