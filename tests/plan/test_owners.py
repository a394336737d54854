"""References to InferenceServices are removed from models; other references stay."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.owner_references import owner_reference_updates
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


def test_references_to_inference_services_are_removed_and_others_stay() -> None:
    (write,) = owner_reference_updates([owned(OTHER, OURS, SAME_KIND)])
    assert write.owners == (OTHER, SAME_KIND)
    assert write.before == (OTHER, OURS, SAME_KIND)


@pytest.mark.parametrize(
    "model", [make.model(), owned(OTHER), owned(OURS, deletionTimestamp="2026-01-01T00:00:00Z")], ids=str
)
def test_a_model_without_such_a_reference_or_that_is_being_deleted_is_not_written(model: TrainedModel) -> None:
    assert owner_reference_updates([model]) == ()


def test_a_placed_model_of_an_earlier_release_loses_its_reference_and_is_placed_by_the_host() -> None:
    settled = world.settle(seen(owned(OURS)))
    (model,) = settled.models
    assert model.metadata.owner_references == ()
    assert model.status.placed_by
    assert model.status.placed_by.uid == "uid-triton-mms"


def test_a_model_without_a_host_loses_the_reference_and_one_of_a_host_that_is_being_deleted_keeps_it() -> None:
    assert plan(seen(owned(OURS), host=None), make.NOW).owner_references
    host = make.host_object()
    host["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    leaving = seen(owned(OURS), host=type(make.host()).from_wire(host))
    assert not plan(leaving, make.NOW).owner_references
