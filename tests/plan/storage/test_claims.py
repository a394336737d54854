"""PersistentVolumeClaims: mounts of the agent, and conditions of models that wait for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.plan.storage.snapshots import folders, pod_spec, ready_of, seen
from tests.support import make, world


def test_existing_claim_is_mounted_read_only_into_the_agent() -> None:
    spec = pod_spec(seen("pvc://mine/a", "pvc://mine/b", "pvc://theirs/c", claims={"mine": None, "theirs": "gone"}))
    mounts = {path: each for path, each in folders(spec).items() if path.startswith("/mnt/pvc")}
    assert mounts == {"/mnt/pvc/mine": {"persistentVolumeClaim": {"claimName": "mine", "readOnly": True}}}
    assert "/mnt/pvc/mine" not in folders(spec, "kserve-container")


@pytest.mark.parametrize("claims", [{"mine": "PersistentVolumeClaim mine cannot be read: no"}, {}])
def test_fault_21_mounted_claim_stays_while_its_existence_is_unknown(claims: dict[str, str]) -> None:
    """The cases are a revoked right, and a model that does not parse any more."""
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    unsure = replace(settled, claims=claims, unverified_claims=frozenset(claims))
    assert not plan(unsure, make.NOW).applies
    assert plan(replace(unsure, unverified_claims=frozenset()), make.NOW).applies or not claims
    new = seen("pvc://mine/a", claims=claims, unverified_claims=frozenset(claims))
    assert "/mnt/pvc/mine" not in folders(pod_spec(new)), "a claim that was never mounted is not tried"


def test_claim_of_waiting_model_is_not_mounted() -> None:
    observed = seen(claims={"mine": None}, models=(make.model(uri="pvc://mine/a", memory="9Gi"),))
    assert "/mnt/pvc/mine" not in folders(pod_spec(observed))


def test_missing_claim_is_reported_by_the_model_and_the_host_stays_ready() -> None:
    why = "PersistentVolumeClaim mine does not exist in namespace default"
    settled = world.settle(seen("gs://bucket/a", "pvc://mine/b", claims={"mine": why}))
    waiting = replace(settled, models=settled.models[1:], agents={"uid-pod-1": make.report()})
    ready = ready_of(waiting)
    assert (ready.reason, ready.message) == ("PersistentVolumeClaimNotFound", f"{why}; the model waits for it")
    assert settled.host
    host = conditions.find(settled.host.status.conditions, conditions.READY)
    assert host
    assert host.status == "True"


@pytest.mark.parametrize("why", ["PersistentVolumeClaim mine does not exist in namespace default", None])
def test_missing_claim_message_says_that_the_previous_version_answers(why: str | None) -> None:
    settled = world.settle(seen("pvc://mine/b", claims={"mine": why}))
    report = make.report(entry_of(settled.models[0]), state=ModelState.PENDING, serving=True)
    message = ready_of(replace(settled, agents={"uid-pod-1": report})).message
    assert str(message).endswith("; the previous version still answers")


def test_model_reports_roll_out_of_pods_with_its_claim() -> None:
    settled = world.settle(seen("pvc://mine/a", claims={"mine": None}))
    rolling = replace(settled, agents={"uid-pod-1": make.report()})
    ready = ready_of(rolling)
    message = "pods are being replaced by ones that mount PersistentVolumeClaim mine; pod-1 has not"
    assert (ready.reason, ready.message) == ("Pending", message)
    volume = {"name": "x", "persistentVolumeClaim": {"claimName": "mine"}}
    mounted = make.pod() | {"spec": {"volumes": [volume]}}
    assert "replaced" not in str(ready_of(replace(rolling, pods=(mounted,))).message)
