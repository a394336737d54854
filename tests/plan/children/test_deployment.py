"""Deployment of a host: its revision number, and the repair of its metadata."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.observed import Child, Manifest
from manyserve.plan.plan import plan
from tests.plan.test_plan import seen
from tests.support import make, world

OWNERS = "ownerReferences"
DEPLOYMENT = Child("Deployment", "triton-mms-predictor-default")


def test_revision_ignores_an_invalid_annotation() -> None:
    settled = world.settle(seen())
    for number in ("9" * 5000, "9" * 300, "\u0663", "-1"):
        metadata = settled.children[DEPLOYMENT]["metadata"]
        annotations = metadata["annotations"] | {names.REVISION: number}
        edited = settled.children[DEPLOYMENT] | {"metadata": metadata | {"annotations": annotations}}
        after = world.settle(replace(settled, children={**settled.children, DEPLOYMENT: edited}))
        assert after.children[DEPLOYMENT]["metadata"]["annotations"][names.REVISION] == "1"


def test_progress_deadline_exceeds_the_wait_for_models() -> None:
    for rollout, seconds in (({}, 1800), ({"modelTimeout": "90.5s"}, 91), ({"modelTimeout": "24h"}, 86400)):
        config = make.config(rollout=rollout, deploy={"progressDeadline": 100})
        deployment = world.settle(seen(config=config)).children[DEPLOYMENT]
        assert deployment["spec"]["progressDeadlineSeconds"] == seconds + 100


def test_change_of_the_model_timeout_replaces_no_pods() -> None:
    settled = world.settle(seen())
    (change,) = plan(replace(settled, config=make.config(rollout={"modelTimeout": "1h"})), make.NOW).applies
    assert change.manifest["spec"]["template"] == settled.children[DEPLOYMENT]["spec"]["template"]


def test_revision_stays_while_the_deployment_cannot_be_created() -> None:
    settled = world.settle(seen(make.model()))
    foreign = settled.children[DEPLOYMENT]
    metadata = foreign["metadata"] | {"ownerReferences": [{"kind": "InferenceService", "name": "x", "uid": "other"}]}
    adopted = world.settle(
        replace(settled, children={**settled.children, DEPLOYMENT: foreign | {"metadata": metadata}})
    )
    assert plan(adopted, make.NOW).empty
    without = {child: each for child, each in settled.children.items() if child != DEPLOYMENT}
    refused = replace(settled, children=without, failures={DEPLOYMENT: "exceeded quota"})
    after = world.carry_out(refused, replace(plan(refused, make.NOW), applies=()))
    assert not plan(after, make.NOW).statuses


def test_revision_continues_from_the_deployment_and_without_one_from_the_status() -> None:
    settled = world.settle(seen())
    assert settled.host
    forged = settled.host.to_wire()
    forged["status"]["components"]["predictor"]["latestCreatedRevision"] = "triton-mms-predictor-default-00099"
    seen_forged = replace(settled, host=InferenceService.from_wire(forged))
    assert not plan(seen_forged, make.NOW).applies
    after = world.carry_out(seen_forged, plan(seen_forged, make.NOW))
    assert after.host == settled.host
    without = {child: each for child, each in settled.children.items() if child != DEPLOYMENT}
    again = world.settle(replace(settled, children=without))
    assert again.children[DEPLOYMENT]["metadata"]["annotations"][names.REVISION] == "2"


def test_input_26_children_without_their_owner_are_repaired_and_keep_their_content() -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))

    def orphan(manifest: Manifest) -> Manifest:
        return manifest | {"metadata": {key: each for key, each in manifest["metadata"].items() if key != OWNERS}}

    orphans = replace(settled, children={child: orphan(each) for child, each in settled.children.items()})
    todo = plan(orphans, make.NOW)
    assert {each.reason.partition(",")[0] for each in todo.applies} == {"metadata.ownerReferences is None"}
    assert todo.configs
    assert todo.configs[0].manifest["data"] == settled.children[Child("ConfigMap", "modelconfig-triton-mms-0")]["data"]
    assert not todo.statuses
    after = world.carry_out(orphans, todo)
    assert all(each["metadata"][OWNERS] for each in after.children.values())
