"""Status of a heterogeneous host: its shards, pods and copies, and a sentence for each shard with a problem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.plan.actions import Priority
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from manyserve.plan.sharding.shard import shard_indices, shard_names
from tests.support import make, sharded, world

WAITING = {"name": "kserve-container", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such tag"}}}


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


def status(observed: Observed) -> InferenceServiceStatus:
    after = world.carry_out(observed, plan(observed, make.NOW)).host
    assert after is not None
    return after.status


def without_image(observed: Observed, *shards: int) -> Observed:
    """Return the snapshot in which the server of these shards cannot be started."""
    broken = {f"pod-s{index}" for index in shards}
    state = make.pod(ready=False)["status"] | {"containerStatuses": [WAITING]}
    pods = tuple(pod | {"status": state} if pod["metadata"]["name"] in broken else pod for pod in observed.pods)
    children: dict[Child, Any] = dict(observed.children)
    for index in shards:
        child = Child("Deployment", f"triton-mms-predictor-s{index}")
        counts = dict.fromkeys(("availableReplicas", "readyReplicas"), 0)
        available = {"conditions": [{"type": "Available", "status": "False"}]}
        children[child] = children[child] | {"status": children[child]["status"] | counts | available}
    return replace(observed, pods=pods, children=children)


def test_host_has_its_shards_pods_and_copies() -> None:
    observed = sharded.settled(sharded.model(copies=2), sharded.model("b"), least=2)
    assert observed.host is not None
    of = observed.host.status
    assert (of.shards, of.pods, of.copies, of.models, of.memory) == ("s0,s1", "2/2 (2-4)", "3/3", "2/2", "3Gi/4Gi")
    loading = sharded.on_shard(observed, 1, "a", ModelState.LOADING)
    assert (status(loading).copies, status(loading).pods) == ("2/3", "2/2 (2-4)")
    assert status(sharded.with_pod(observed, 1, ready=False)).pods == "1/2 (2-4)"
    assert status(sharded.settled(least=3, most=3)).pods == "3/3 (3)"


def test_change_of_the_copies_alone_is_written_as_progress() -> None:
    observed = sharded.settled(sharded.model(copies=2))
    todo = plan(sharded.on_shard(observed, 1, "a", ModelState.LOADING), make.NOW)
    (write,) = [each for each in todo.statuses if each.kind == "InferenceService"]
    assert (write.priority, write.patch) == (Priority.PROGRESS, {"copies": "1/2"})


def test_homogeneous_host_has_no_figures_of_shards() -> None:
    homogeneous = world.settle(replace(sharded.host(make.model()), host=make.host(), pods=(make.pod(),)))
    assert homogeneous.host is not None
    wire = homogeneous.host.status.to_wire()
    assert not {"shards", "pods", "copies"} & wire.keys()
    assert "shards" not in homogeneous.models[0].status.to_wire()


def test_host_has_a_sentence_for_each_shard_with_a_problem() -> None:
    observed = sharded.settled(least=4, most=4)
    of = conditions.find(status(without_image(observed, 1, 3)).conditions, conditions.READY)
    assert of is not None
    container = "container kserve-container is waiting: no such tag"
    assert (of.status, of.reason) == ("True", "PodsNotReady")
    assert of.message == f"2 of 4 replicas answer; s1: pod pod-s1: {container}; s3: pod pod-s3: {container}"


def test_host_that_does_not_answer_names_three_shards_and_counts_the_others() -> None:
    observed = without_image(sharded.settled(least=4, most=4), 0, 1, 2, 3)
    of = conditions.find(status(observed).conditions, conditions.READY)
    assert of is not None
    assert (of.status, of.reason) == ("False", "ErrImagePull")
    assert of.message is not None
    assert [each.partition(":")[0] for each in of.message.split("; ")] == ["s0", "s1", "s2", "1 more of its shards"]


def test_names_of_shards_are_read_as_they_were_written() -> None:
    assert shard_names((10, 2, 0)) == "s0,s2,s10"
    assert shard_indices("s0,s2,s10") == {0, 2, 10}
    assert shard_indices("") == shard_indices("s,x1,s1000,s1 ") == frozenset()
