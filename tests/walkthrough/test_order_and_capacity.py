"""Objects in any order, and hosts with less memory than their models need."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Refused, condition
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import answers, host, model, wait_not_ready, wait_ready

NO_MEMORY = "MemoryResourceNotAvailable"


def by_reason(kubectl: Kubectl) -> dict[str, list[str]]:
    """Return the names of the models by the reason of their condition Ready, or '' when it is True."""
    names: dict[str, list[str]] = {}
    for manifest in kubectl.list("tm"):
        names.setdefault(condition(manifest).get("reason", ""), []).append(manifest["metadata"]["name"])
    return names


def test_model_before_its_host_waits_and_becomes_ready(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(model("early"))
    waiting = wait_not_ready(kubectl, "tm", "early", "InferenceServiceNotFound")
    assert "waiting for InferenceService mms" in waiting["message"]
    kubectl.apply(host())
    wait_ready(kubectl, "tm", "early")
    assert answers(cluster, kubectl, "early")


def test_models_before_a_host_that_fits_2_of_20_fill_it_and_a_deletion_places_one_more(
    kubectl: Kubectl,
) -> None:
    kubectl.apply(*(model(f"m{number:02}", memory="512Mi") for number in range(20)))
    kubectl.apply(host(memory="1Gi"))
    eventually_sync(lambda: len(by_reason(kubectl).get("", [])) == 2, "2 models are Ready", 120)
    waiting = by_reason(kubectl)[NO_MEMORY]
    assert len(waiting) == 18
    message = condition(kubectl.get("tm", waiting[0]))["message"]
    assert "512Mi does not fit on mms: 1Gi of 1Gi is used by 2 models" in message
    (gone, stays) = sorted(by_reason(kubectl)[""])
    kubectl("delete", "tm", gone)
    eventually_sync(lambda: len(by_reason(kubectl).get("", [])) == 2, "the next one is placed", 60)
    assert stays in by_reason(kubectl)[""]
    assert len(by_reason(kubectl)[NO_MEMORY]) == 17


def test_parallel_creates_of_20_models_place_the_2_that_fit(kubectl: Kubectl) -> None:
    kubectl.apply(host(memory="1Gi"))
    wait_ready(kubectl, "isvc", "mms")

    def create(number: int) -> str:
        try:
            kubectl.apply(model(f"m{number:02}", memory="512Mi"))
        except Refused as refused:
            return str(refused)
        return ""

    with ThreadPoolExecutor(20) as pool:
        refused = [message for message in pool.map(create, range(20)) if message]
    assert all("512Mi does not fit on mms" in message for message in refused)

    def all_are_reported() -> bool:
        reasons = by_reason(kubectl)
        return len(reasons.get("", [])) == 2 and len(reasons.get(NO_MEMORY, [])) + len(refused) == 18

    eventually_sync(all_are_reported, "2 are Ready and 18 report the reason", 120)


def test_deleted_host_deletes_its_placed_models_and_keeps_waiting_ones(kubectl: Kubectl) -> None:
    kubectl.apply(model("waits", memory="3Gi"))
    kubectl.apply(host())
    wait_not_ready(kubectl, "tm", "waits", "MemoryResourceNotAvailable")
    kubectl.apply(model("placed"))
    wait_ready(kubectl, "tm", "placed")
    kubectl("delete", "isvc", "mms")
    eventually_sync(lambda: not kubectl.exists("tm", "placed"), "the model is gone with its host", 90)
    waiting = wait_not_ready(kubectl, "tm", "waits", "InferenceServiceNotFound")
    assert waiting["status"] == "False"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (model("m", memory="2Gi"), "2Gi does not fit on mms: 0 of 1Gi is used by 0 models, 1Gi free"),
        (model("m", framework="sklearn"), "mms runs triton, which does not support framework sklearn"),
        (model("m", framework="nonsense"), "does not support framework nonsense; it supports: tensorrt"),
        (model("m", uri="nonsense"), "spec.model.storageUri"),
        (model("m", uri="ftp://a/b"), "must start with one of: gs://"),
        (model("m", memory="-1Gi"), "must be a quantity greater than 0"),
        (model("m", memory="0"), "must be a quantity greater than 0"),
        (model("m", memory="abc"), "must be a quantity greater than 0"),
    ],
)
def test_webhook_refuses_bad_models_with_a_message(shared_host: Kubectl, bad: dict[str, object], message: str) -> None:
    with pytest.raises(Refused) as refused:
        shared_host.apply(bad)
    assert message in str(refused.value)


def test_host_cannot_shrink_below_its_models(kubectl: Kubectl) -> None:
    kubectl.apply(host(memory="1Gi"))
    wait_ready(kubectl, "isvc", "mms")
    kubectl.apply(model("a", memory="900Mi"))
    wait_ready(kubectl, "tm", "a")
    with pytest.raises(Refused, match="cannot go down to 512Mi of memory: 900Mi is used by 1 model"):
        kubectl.apply(host(memory="512Mi"))


def test_dry_run_has_the_same_answer_and_reserves_nothing(shared_host: Kubectl) -> None:
    whole = model("whole", memory="1Gi")
    text = json.dumps(whole)
    for _ in range(3):
        shared_host("apply", "--dry-run=server", "-f", "-", text=text)
    assert not shared_host.exists("tm", "whole")
