"""Odd pictures, some found by random ones: a plan can be made of each, and says what is odd."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import conditions, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import ready, seen
from tests.support import make, world

OWNERS = "ownerReferences"
DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")


def test_a_model_whose_name_no_url_takes_is_not_placed_says_so_and_stops_no_other() -> None:
    settled = world.settle(seen(make.model("a.b"), make.model("n" * 129), make.model("c")))
    assert world.placed(settled) == {"c"}
    for odd in settled.models[:2]:
        status, reason, message = ready(odd)
        assert (status, reason) == ("False", "InvalidSpec")
        assert message
        assert message.startswith("not placed on triton-mms: metadata.name: ")
        assert message.endswith("is the model's name in its URL: letters, digits and - only, at most 128")


def test_a_revision_that_nobody_can_count_is_taken_for_none() -> None:
    settled = world.settle(seen())
    for odd in ("9" * 5000, "9" * 300, "\u0663", "-1"):
        metadata = settled.children[DEPLOYMENT]["metadata"]
        annotations = metadata["annotations"] | {names.REVISION: odd}
        edited = settled.children[DEPLOYMENT] | {"metadata": metadata | {"annotations": annotations}}
        after = world.settle(replace(settled, children={**settled.children, DEPLOYMENT: edited}))
        assert after.children[DEPLOYMENT]["metadata"]["annotations"][names.REVISION] == "1"


def test_a_reason_of_a_pod_that_is_too_long_is_cut_and_told() -> None:
    waiting = {"reason": "x" * 300, "message": "y" * 3000}
    stuck = make.pod(ready=False)
    stuck["status"]["containerStatuses"] = [{"name": "agent", "state": {"waiting": waiting}}]
    todo = plan(seen(pods=(stuck,)), make.NOW)
    unavailable = world.carry_out(seen(pods=(stuck,)), todo)
    bare = {key: each for key, each in unavailable.children[DEPLOYMENT].items() if key != "status"}
    told = replace(unavailable, children={**unavailable.children, DEPLOYMENT: bare})
    after = world.carry_out(told, plan(told, make.NOW)).host
    assert after
    found = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    assert found
    assert found.reason == "x" * 128
    assert found.message
    assert len(found.message) == 1024


def test_a_long_uri_that_is_not_allowed_is_told_in_a_message_that_the_api_server_takes() -> None:
    odd = make.model(uri=f"https://{'h' * 2000}/x")
    todo = plan(seen(odd), make.NOW)
    (write,) = [each for each in todo.statuses if each.kind == "TrainedModel"]
    assert max(len(each.get("message") or "") for each in write.patch["conditions"]) == conditions.MESSAGE_LIMIT


def test_no_revision_is_counted_up_for_a_deployment_that_cannot_be_made() -> None:
    settled = world.settle(seen(make.model()))
    foreign = settled.children[DEPLOYMENT]
    metadata = foreign["metadata"] | {"ownerReferences": [{"kind": "InferenceService", "name": "x", "uid": "other"}]}
    taken = world.settle(replace(settled, children={**settled.children, DEPLOYMENT: foreign | {"metadata": metadata}}))
    assert plan(taken, make.NOW).empty
    without = {key: each for key, each in settled.children.items() if key != DEPLOYMENT}
    refused = replace(settled, children=without, failures={DEPLOYMENT: "exceeded quota"})
    told = world.carry_out(refused, replace(plan(refused, make.NOW), applies=()))
    assert not plan(told, make.NOW).statuses


def test_input_26_a_child_whose_owner_was_taken_away_is_repaired_and_nothing_is_dropped() -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))

    def orphan(manifest: Manifest) -> Manifest:
        return manifest | {"metadata": {key: each for key, each in manifest["metadata"].items() if key != OWNERS}}

    orphans = replace(settled, children={child: orphan(each) for child, each in settled.children.items()})
    todo = plan(orphans, make.NOW)
    assert {each.reason.partition(",")[0] for each in todo.applies} == {"metadata.ownerReferences is None"}
    assert todo.config
    assert todo.config.manifest["data"] == settled.children[Child("ConfigMap", "modelconfig-triton-mms-0")]["data"]
    assert not todo.statuses
    after = world.carry_out(orphans, todo)
    assert all(each["metadata"][OWNERS] for each in after.children.values())


def with_deployment(settled: Observed, **spec: object) -> Observed:
    there = settled.children[DEPLOYMENT]
    edited = there | {"spec": there["spec"] | spec}
    return replace(settled, children={**settled.children, DEPLOYMENT: edited})


def predictor_of(observed: Observed) -> tuple[str, str | None]:
    after = world.carry_out(observed, replace(plan(observed, make.NOW), applies=())).host
    assert after
    found = conditions.find(after.status.conditions, conditions.PREDICTOR_READY)
    assert found
    return found.status, found.reason


def test_a_host_that_was_scaled_to_nothing_is_not_ready_though_its_deployment_is_available() -> None:
    settled = world.settle(seen(make.model(), host=make.host(minReplicas=1, maxReplicas=3)))
    assert predictor_of(settled) == ("True", None)
    assert predictor_of(with_deployment(settled, replicas=0)) == ("False", "ScaledToZero")


def test_a_paused_deployment_is_told_and_stays_paused() -> None:
    paused = with_deployment(world.settle(seen(make.model())), paused=True)
    assert predictor_of(paused) == ("True", "DeploymentPaused")
    assert not plan(paused, make.NOW).applies, "it is somebody else's field"


def test_a_revision_goes_on_from_the_deployment_and_from_the_status_only_without_one() -> None:
    settled = world.settle(seen())
    assert settled.host
    forged = settled.host.to_wire()
    forged["status"]["components"]["predictor"]["latestCreatedRevision"] = "triton-mms-predictor-default-00099"
    seen_forged = replace(settled, host=InferenceService.from_wire(forged))
    assert not plan(seen_forged, make.NOW).applies
    after = world.carry_out(seen_forged, plan(seen_forged, make.NOW))
    assert after.host == settled.host
    without = {key: each for key, each in settled.children.items() if key != DEPLOYMENT}
    again = world.settle(replace(settled, children=without))
    assert again.children[DEPLOYMENT]["metadata"]["annotations"][names.REVISION] == "2"
