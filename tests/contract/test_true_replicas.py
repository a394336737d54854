"""Pods that claim to be replicas, against the real controllers of Kubernetes."""

from __future__ import annotations

import asyncio

import pytest

from manyserve.api import names
from tests.contract.stage import HOST, Stage, replanned
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.replicas import claimant, reference_to


@pytest.mark.parametrize("forged", [False, True], ids=["bare", "forged"])
async def test_pod_that_claims_to_be_a_replica_is_none(stage: Stage, *, forged: bool) -> None:
    """It runs and is ready. A forged reference names the host's real ReplicaSet: anybody can read its uid."""
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    (replica_set,) = stage.kubectl.list("rs", "-l", f"{names.HOST_LABEL}={HOST}")
    pod = claimant("claimant", HOST, [reference_to(replica_set)] if forged else [])
    await asyncio.to_thread(stage.kubectl.apply, pod)
    await eventually_in_thread(
        lambda: stage.kubectl.get("pod", "claimant").get("status", {}).get("phase") == "Running", "it runs"
    )
    await replanned(stage.operator)
    assert stage.kubectl.get("tm", "cifar10")["status"]["loaded"] == "1/1"
    assert len(stage.operator._agent_poller._tasks) == 1
