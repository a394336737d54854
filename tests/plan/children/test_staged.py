"""Deployments in a staged roll-out: only the pod template waits, and only for a change of the operator's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from manyserve.api import conditions, names
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.plan.actions import Apply, Plan
from manyserve.plan.children.cache import CHILDREN_CACHE
from manyserve.plan.observed import Account, Child, Manifest, Observed
from manyserve.plan.plan import plan
from manyserve.plan.rules import allocation
from manyserve.plan.staging import Rollouts, Turn
from manyserve.plan.status.rollout_wait import ROLLOUT_WAITS
from tests.plan.test_plan import KEY, seen
from tests.support import make, world

OTHER = Key("team-a", "other")
BUSY = Rollouts({OTHER: make.NOW}, {})
UPGRADED = make.config(agent={"image": "example/manyserve:2"})
DEPLOYMENT = Child("Deployment", names.deployment(KEY.name))


def settled(**fields: Any) -> Observed:
    return world.settle(seen(**fields))


def upgraded(observed: Observed, rollouts: Rollouts = BUSY) -> Observed:
    return replace(observed, config=UPGRADED, rollouts=rollouts)


def edited(observed: Observed, **predictor: Any) -> Observed:
    """Return the observed state after a user has edited the host."""
    assert observed.host
    new = make.host(**predictor)
    metadata = observed.host.metadata.model_copy(update={"generation": observed.host.metadata.generation + 1})
    return replace(observed, host=observed.host.model_copy(update={"metadata": metadata, "spec": new.spec}))


def of_deployments(todo: Plan) -> list[Apply]:
    return [each for each in todo.applies if each.manifest["kind"] == "Deployment"]


def image(manifest: Manifest) -> str:
    (agent,) = [each for each in manifest["spec"]["template"]["spec"]["containers"] if each["name"] == "agent"]
    return str(agent["image"])


def without_record(observed: Observed) -> Observed:
    """Return the observed state with the Deployment of a release that kept no record."""
    manifest = observed.children[DEPLOYMENT]
    annotations = {k: each for k, each in manifest["metadata"]["annotations"].items() if k != names.HOST_INPUTS}
    old = manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}
    return replace(observed, children={**observed.children, DEPLOYMENT: old})


def test_new_host_never_waits() -> None:
    todo = plan(upgraded(seen()), make.NOW)
    assert todo.turn is None
    assert [image(each.manifest) for each in of_deployments(todo)] == ["example/manyserve:2"]


def test_change_of_the_configuration_begins_in_a_free_slot() -> None:
    todo = plan(upgraded(settled(), Rollouts()), make.NOW)
    (change,) = of_deployments(todo)
    assert todo.turn == Turn(None)
    assert image(change.manifest) == "example/manyserve:2"
    assert change.manifest["metadata"]["annotations"][names.ROLLOUT_BEGAN] == conditions.timestamp(make.NOW)


def test_change_of_the_configuration_waits_while_another_host_has_the_slot() -> None:
    before = settled()
    todo = plan(upgraded(before), make.NOW)
    assert todo.turn == Turn(OTHER)
    assert todo.requeue_after == before.config.rollout.host_seconds
    assert not of_deployments(todo), "the Deployment stays as it is"


def test_waiting_host_settles_and_is_up_to_date_for_argo_cd() -> None:
    waiting = world.settle(upgraded(settled()))
    assert plan(waiting, make.NOW).empty
    assert waiting.host
    assert waiting.host.status.model_status
    assert waiting.host.status.model_status.transition_status == "UpToDate"


@pytest.mark.parametrize(("limits", "number"), [({}, "1 host at a time"), ({"maxHosts": 3}, "3 hosts at a time")])
def test_waiting_host_is_ready_and_names_the_host_before_it(limits: dict[str, int], number: str) -> None:
    others = {Key("default", f"other-{index}"): make.NOW for index in range(limits.get("maxHosts", 1))}
    config = make.config(agent={"image": "example/manyserve:2"}, rollout=limits)
    waiting = world.settle(replace(settled(), config=config, rollouts=Rollouts(others, {})))
    assert waiting.host
    for kind in (conditions.READY, conditions.PREDICTOR_READY):
        found = conditions.find(waiting.host.status.conditions, kind)
        assert found
        assert (found.status, found.reason) == ("True", ROLLOUT_WAITS)
        assert found.message == f"its pods wait for the roll-out of default/other-0, {number}"


def test_waiting_host_sends_one_normal_event() -> None:
    (event,) = plan(upgraded(settled()), make.NOW).events
    assert (event.type, event.reason) == ("Normal", ROLLOUT_WAITS)


def test_waiting_host_that_does_not_answer_keeps_its_reason_and_says_that_it_waits() -> None:
    broken = settled()
    broken.children[DEPLOYMENT]["status"] = {"observedGeneration": 1, "conditions": []}
    found = conditions.find(plan(upgraded(broken), make.NOW).statuses[0].after.conditions, conditions.READY)
    assert found
    assert (found.status, found.reason) == ("False", "MinimumReplicasUnavailable")
    assert found.message
    assert found.message.endswith("; its pods wait for the roll-out of a host in another namespace, 1 host at a time")


def test_waiting_host_gets_other_numbers_of_replicas_by_its_owner_of_them() -> None:
    waiting = world.settle(upgraded(settled(host=make.host(minReplicas=2))))
    manifest = waiting.children[DEPLOYMENT]
    scaled = manifest | {"spec": manifest["spec"] | {"replicas": 1}}
    (change,) = of_deployments(plan(replace(waiting, children={**waiting.children, DEPLOYMENT: scaled}), make.NOW))
    assert change.manifest["spec"]["replicas"] == 2
    assert change.manifest["spec"]["template"] == manifest["spec"]["template"]
    assert change.resource_version == manifest["metadata"]["resourceVersion"], "the template was read from this version"


def test_waiting_host_gets_models_and_other_children() -> None:
    waiting = world.settle(upgraded(settled()))
    without = {child: each for child, each in waiting.children.items() if child.kind != "Service"}
    todo = plan(replace(waiting, children=without, models=(make.model("new"),)), make.NOW)
    assert [each.manifest["kind"] for each in todo.applies] == ["Service"]
    assert todo.configs


def test_edit_of_a_user_never_waits() -> None:
    todo = plan(replace(edited(settled(), memory="3Gi"), rollouts=BUSY), make.NOW)
    assert todo.turn is None
    (change,) = of_deployments(todo)
    assert change.manifest["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "3Gi"


def test_edit_of_a_user_ends_the_wait_of_the_host() -> None:
    todo = plan(edited(world.settle(upgraded(settled())), memory="3Gi"), make.NOW)
    (change,) = of_deployments(todo)
    assert todo.turn is None
    assert image(change.manifest) == "example/manyserve:2"


@pytest.mark.parametrize(
    "changed",
    [
        lambda seen: replace(seen, host=make.labelled_host({"team": "fraud"})),
        lambda seen: replace(seen, host=make.labelled_host({}, {names.VOLUME_SIZE_LIMITS[0]: "1Gi"})),
        lambda seen: replace(seen, account=Account("default", ("s3-keys",))),
        lambda seen: replace(seen, models=(make.model(uri="pvc://models/x"),), claims={"models": None}),
    ],
    ids=["label", "annotation", "account", "claim"],
)
def test_other_changes_of_users_never_wait(changed: Any) -> None:
    todo = plan(replace(changed(settled()), rollouts=BUSY), make.NOW)
    assert todo.turn is None
    (change,) = of_deployments(todo)
    assert change.manifest["spec"]["template"] != settled().children[DEPLOYMENT]["spec"]["template"]


def test_deployment_of_an_older_release_waits() -> None:
    waiting = world.settle(upgraded(without_record(settled())))
    assert image(waiting.children[DEPLOYMENT]) != "example/manyserve:2"
    assert names.HOST_INPUTS in waiting.children[DEPLOYMENT]["metadata"]["annotations"]


def test_edit_during_the_upgrade_from_an_older_release_never_waits() -> None:
    assert plan(edited(upgraded(without_record(settled())), memory="3Gi"), make.NOW).turn is None


def test_beginning_of_a_roll_out_stays_recorded_until_the_next_one() -> None:
    begun = world.settle(upgraded(settled(), Rollouts()))
    later = make.NOW + timedelta(hours=1)
    assert plan(begun, later).empty
    again = plan(replace(begun, config=make.config(agent={"image": "example/manyserve:3"})), later)
    annotations = of_deployments(again)[0].manifest["metadata"]["annotations"]
    assert annotations[names.ROLLOUT_BEGAN] == conditions.timestamp(later)


def test_cache_of_children_holds_no_host_that_waits() -> None:
    waiting = world.settle(upgraded(settled()))
    CHILDREN_CACHE.drop(KEY)
    plan(waiting, make.NOW)
    assert KEY not in CHILDREN_CACHE
    assert plan(replace(waiting, rollouts=Rollouts()), make.NOW).turn == Turn(None)


def test_shards_and_routers_of_a_heterogeneous_host_wait_as_one_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))
    host = make.host(allocation=HETEROGENEOUS, minReplicas=2, maxReplicas=2)
    before = settled(host=host)
    config = make.config(agent={"image": "example/manyserve:2"}, router={"image": "example/manyserve:2"})
    waiting = world.settle(replace(before, config=config, rollouts=BUSY))
    names_of = [child for child in before.children if child.kind == "Deployment"]
    assert len(names_of) == 3
    for child in names_of:
        assert waiting.children[child]["spec"]["template"] == before.children[child]["spec"]["template"]
    todo = plan(replace(waiting, rollouts=Rollouts()), make.NOW)
    assert todo.turn == Turn(None)
    assert {each.manifest["metadata"]["name"] for each in of_deployments(todo)} == {
        names.shard_deployment(KEY.name, 0),
        names.router(KEY.name),
    }
