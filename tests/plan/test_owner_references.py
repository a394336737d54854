"""Owner references of models: those to InferenceServices are removed, others stay."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.departure import owner_reference_updates
from manyserve.plan.plan import plan
from tests.plan.test_plan import seen
from tests.support import make, world

OURS = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "triton-mms", "uid": "old"}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "a"}
SAME_KIND = {"apiVersion": "example.com/v1", "kind": "InferenceService", "name": "b", "uid": "b"}


def owned(*owners: dict[str, Any], **metadata: str) -> TrainedModel:
    plain = make.model_object()
    return TrainedModel.from_wire(
        plain | {"metadata": plain["metadata"] | {"ownerReferences": list(owners)} | metadata}
    )


def test_owner_references_to_inference_services_are_removed_and_others_stay() -> None:
    (write,) = owner_reference_updates([owned(OTHER, OURS, SAME_KIND)])
    assert write.owners == (OTHER, SAME_KIND)
    assert write.before == (OTHER, OURS, SAME_KIND)


@pytest.mark.parametrize(
    "model", [make.model(), owned(OTHER), owned(OURS, deletionTimestamp="2026-01-01T00:00:00Z")], ids=str
)
def test_owner_references_of_other_kinds_and_deleted_models_are_not_written(model: TrainedModel) -> None:
    assert owner_reference_updates([model]) == ()


def test_owner_references_of_an_earlier_release_are_replaced_by_placed_by() -> None:
    settled = world.settle(seen(owned(OURS)))
    (model,) = settled.models
    assert model.metadata.owner_references == ()
    assert model.status.placed_by
    assert model.status.placed_by.uid == "uid-triton-mms"


def test_owner_references_go_without_a_host_and_stay_while_it_is_being_deleted() -> None:
    assert plan(seen(owned(OURS), host=None), make.NOW).owner_references
    host = make.host_object()
    host["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    leaving = seen(owned(OURS), host=type(make.host()).from_wire(host))
    assert not plan(leaving, make.NOW).owner_references
