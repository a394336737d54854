"""Slots of the staged roll-outs: from plan to plan, across a new leader, and without a host that blocks the others."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.operator import rollout_slots
from manyserve.operator.rollout_slots import RolloutSlots
from manyserve.plan.actions import Plan
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from manyserve.plan.staging import Turn
from tests.support import make

A, B, C = (Key("default", name) for name in "abc")
BEGINS = Turn(None)
Manifest = dict[str, Any]


class Fleet:
    """Hosts with settled Deployments of the first configuration, and a second configuration in force."""

    def __init__(self, *hosts: Key, **rollout: Any) -> None:
        self.now = make.NOW
        self.woken: list[Key] = []
        self.state = ClusterState(lambda _key: None)
        self.state.accounts.update(None, {"metadata": {"name": "default", "namespace": "default"}})
        self.state.config = make.config()
        self.slots = RolloutSlots(self.state, self.woken.append)
        self.state.on_replicas = self.slots.update
        for host in hosts:
            self.state.update_host(None, make.host_object(host.name))
            self.plan(host)
            self.settle(host)
        self.configure("2", **rollout)

    def configure(self, image: str, **rollout: Any) -> None:
        self.state.config = make.config(agent={"image": f"example/manyserve:{image}"}, rollout=rollout)

    def later(self, **minutes: float) -> None:
        self.now += timedelta(**minutes)

    def observed(self, host: Key) -> Observed:
        seen = observe(self.state, host)
        assert seen is not None
        return seen

    def plan(self, host: Key, *, written: bool = True) -> Turn | None:
        """Plan a host, and write its Deployment; its new pods are not ready yet."""
        todo = self.slots.decide(self.observed(host), self.now)
        for each in todo.applies if written else ():
            if each.manifest["kind"] == "Deployment":
                self._store(host, each.manifest)
        return todo.turn

    async def reconcile(self, host: Key, *, written: bool = True) -> Turn | None:
        turn = self.plan(host, written=written)
        await asyncio.sleep(0)
        return turn

    def settle(self, host: Key) -> None:
        """Play the controller of Deployments: all replicas are new and available."""
        deployment = deepcopy(self.deployment(host))
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), 1)
        deployment["status"] = counts | {"observedGeneration": deployment["metadata"]["generation"]}
        self.state.update_child(self.deployment(host), deployment)

    def deployment(self, host: Key) -> Manifest:
        return dict(self.state.children[host][Child("Deployment", names.deployment(host.name))])

    def image(self, host: Key) -> str:
        containers = self.deployment(host)["spec"]["template"]["spec"]["containers"]
        return str(next(each["image"] for each in containers if each["name"] == "agent"))

    def edit(self, host: Key) -> None:
        old = make.host_object(host.name)
        new = make.host_object(host.name, memory="3Gi")
        self.state.update_host(old, new | {"metadata": new["metadata"] | {"generation": 2}})

    def _store(self, host: Key, manifest: Manifest) -> None:
        before = self.state.children.get(host, {}).get(Child("Deployment", manifest["metadata"]["name"]))
        stored = deepcopy(manifest)
        old = dict(before or {"metadata": {}, "status": {}})
        changed = old.get("spec") != stored["spec"]
        generation = old["metadata"].get("generation", 0) + int(changed)
        stored["metadata"] |= {"uid": host.name, "generation": generation, "resourceVersion": "1"}
        stored["status"] = old["status"]
        self.state.update_child(before, stored)


@pytest.fixture
async def fleet() -> Fleet:
    """Three hosts, one at a time."""
    return opened(Fleet(A, B, C))


def opened(fleet: Fleet) -> Fleet:
    fleet.slots.open(fleet.now)
    return fleet


async def test_hosts_roll_out_one_after_the_other_in_their_order(fleet: Fleet) -> None:
    assert [await fleet.reconcile(each) for each in (A, B, C)] == [BEGINS, Turn(A), Turn(B)]
    assert [await fleet.reconcile(each) for each in (A, B, C)] == [None, Turn(A), Turn(B)]
    assert [fleet.image(each)[-2:] for each in (A, B)] == [":2", ".0"]
    fleet.settle(A)
    assert fleet.woken == [B, C]
    assert [await fleet.reconcile(each) for each in (C, B)] == [Turn(B), BEGINS]
    await fleet.reconcile(B)
    fleet.settle(B)
    assert await fleet.reconcile(C) == BEGINS
    await fleet.reconcile(C)
    fleet.settle(C)
    assert [await fleet.reconcile(each) for each in (A, B, C)] == [None, None, None]


async def test_slot_is_held_between_the_plan_and_the_write(fleet: Fleet) -> None:
    assert await fleet.reconcile(A, written=False) == BEGINS
    fleet.slots.update(A)
    assert await fleet.reconcile(B) == Turn(A), "the Deployment still has its old template, and all replicas"


async def test_as_many_hosts_begin_as_there_are_slots() -> None:
    fleet = opened(Fleet(A, B, C, maxHosts=2))
    assert [await fleet.reconcile(each) for each in (A, B, C)] == [BEGINS, BEGINS, Turn(A)]


async def test_stuck_host_is_passed_after_the_timeout(fleet: Fleet) -> None:
    for each in (A, A, B):
        await fleet.reconcile(each)
    fleet.later(minutes=14)
    assert await fleet.reconcile(B) == Turn(A)
    fleet.later(minutes=1)
    assert await fleet.reconcile(B) == BEGINS


async def test_edit_of_a_user_takes_no_slot_and_lets_the_others_go_on(fleet: Fleet) -> None:
    for each in (A, A, B, C):
        await fleet.reconcile(each)
    fleet.edit(B)
    fleet.woken.clear()
    assert await fleet.reconcile(B) is None
    assert fleet.image(B)[-2:] == ":2"
    assert fleet.woken == [C], "the host that waits for it learns of another one"
    assert await fleet.reconcile(C) == Turn(A)


async def test_host_with_a_refused_deployment_leaves_its_slot_and_goes_last(fleet: Fleet) -> None:
    assert [await fleet.reconcile(each, written=False) for each in (A, B, C)] == [BEGINS, Turn(A), Turn(B)]
    fleet.state.failures[A] = {Child("Deployment", names.deployment("a")): "refused by a policy"}
    fleet.woken.clear()
    assert await fleet.reconcile(A, written=False) == Turn(C)
    assert fleet.woken == [A, B, C]
    for each in (B, C):
        assert await fleet.reconcile(each) == BEGINS
        await fleet.reconcile(each)
        fleet.settle(each)
    assert await fleet.reconcile(A, written=False) == BEGINS


async def test_deleted_host_holds_up_no_other(fleet: Fleet) -> None:
    for each in (A, A, B, C):
        await fleet.reconcile(each)
    for each in (B, A):
        fleet.woken.clear()
        fleet.state.update_host(make.host_object(each.name), None)
        assert C in fleet.woken
    assert await fleet.reconcile(C) == BEGINS


async def test_host_that_is_no_longer_planned_holds_up_no_other_for_longer_than_the_timeout(fleet: Fleet) -> None:
    for each in (A, A, B, C):
        await fleet.reconcile(each)
    fleet.later(minutes=15)
    assert await fleet.reconcile(C) == BEGINS


async def test_new_leader_finds_the_host_that_has_begun(fleet: Fleet) -> None:
    for each in (A, A, B):
        await fleet.reconcile(each)
    fleet.later(minutes=14)
    fleet.slots.open(fleet.now)
    assert await fleet.reconcile(B) == Turn(A)
    fleet.later(minutes=1)
    assert await fleet.reconcile(B) == BEGINS, "a restart does not prolong the timeout"


@pytest.mark.parametrize("text", ["9999-01-01T00:00:00Z", "soon", "2026-01-01T00:00:00", ""])
async def test_time_that_a_user_writes_blocks_no_other_host_for_long(fleet: Fleet, text: str) -> None:
    for each in (A, A):
        await fleet.reconcile(each)
    deployment = deepcopy(fleet.deployment(A))
    deployment["metadata"]["annotations"][names.ROLLOUT_BEGAN] = text
    fleet.state.update_child(fleet.deployment(A), deployment)
    fleet.slots.open(fleet.now)
    fleet.later(minutes=15)
    assert await fleet.reconcile(B) == BEGINS


async def test_host_is_planned_again_when_another_one_takes_the_slot_during_its_plan(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Key] = []

    def overtaken(observed: Observed, now: datetime) -> Plan:
        plans.append(observed.key)
        planned = plan(observed, now)
        if plans == [B]:
            fleet.plan(A)
        return planned

    monkeypatch.setattr(rollout_slots, "plan", overtaken)
    assert await fleet.reconcile(B) == Turn(A)
    assert plans == [B, A, B]


async def test_reverted_configuration_lets_every_host_go(fleet: Fleet) -> None:
    for each in (A, B, C):
        await fleet.reconcile(each, written=False)
    fleet.state.config = make.config()
    assert [await fleet.reconcile(each) for each in (A, B, C)] == [None, None, None]
    fleet.configure("3")
    assert await fleet.reconcile(C) == BEGINS
