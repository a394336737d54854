"""Hosts with one host name, in any namespace: each is in the snapshots of the others, and a change enqueues them."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from tests.support import make

JOINED = {"domainTemplate": "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"}
FIRST, SECOND, OTHER = Key("b-c", "a"), Key("c", "a-b"), Key("c", "other")


def host_object(key: Key, uid: str = "") -> dict[str, Any]:
    manifest = make.host_object(key.name)
    manifest["metadata"] |= {"namespace": key.namespace, "uid": uid or f"uid-{key.namespace}-{key.name}"}
    return manifest


@pytest.fixture
def enqueued() -> list[Key]:
    return []


@pytest.fixture
def state(enqueued: list[Key]) -> ClusterState:
    state = ClusterState(enqueued.append)
    state.config = make.config(ingress=JOINED)
    for key in (FIRST, SECOND, OTHER):
        state.update_host(None, host_object(key))
    return state


def same_hostname(state: ClusterState, key: Key) -> set[Key]:
    snapshot = observe(state, key)
    assert snapshot
    return {Key(each.metadata.namespace, each.metadata.name) for each in snapshot.same_hostname}


def test_snapshot_has_other_hosts_with_the_host_name(state: ClusterState) -> None:
    assert same_hostname(state, FIRST) == {SECOND}
    assert same_hostname(state, SECOND) == {FIRST}
    assert same_hostname(state, OTHER) == set()
    assert same_hostname(state, Key("c", "absent")) == set()


def test_new_configuration_changes_the_hosts_of_a_name(state: ClusterState) -> None:
    assert same_hostname(state, FIRST) == {SECOND}
    state.config = make.config()
    assert same_hostname(state, FIRST) == set()
    state.config = make.config(ingress={"domainTemplate": "all.{{ .IngressDomain }}"})
    assert same_hostname(state, FIRST) == {SECOND, OTHER}
    state.config = make.config(ingress=JOINED | {"disableIngressCreation": True})
    assert same_hostname(state, FIRST) == set()


def test_host_that_comes_or_goes_enqueues_those_with_its_host_name(state: ClusterState, enqueued: list[Key]) -> None:
    assert same_hostname(state, FIRST) == {SECOND}
    assert enqueued == []
    state.update_host(host_object(FIRST), None)
    assert enqueued == [SECOND]
    assert same_hostname(state, SECOND) == set()
    state.update_host(None, host_object(FIRST))
    assert enqueued == [SECOND] * 2
    assert same_hostname(state, SECOND) == {FIRST}


def test_host_that_becomes_unmanaged_enqueues_those_with_its_host_name(
    state: ClusterState, enqueued: list[Key]
) -> None:
    assert same_hostname(state, FIRST) == {SECOND}
    unmanaged = host_object(FIRST)
    unmanaged["metadata"]["finalizers"] = ["inferenceservice.finalizers"]
    state.update_host(host_object(FIRST), unmanaged)
    assert enqueued == [SECOND]
    assert same_hostname(state, SECOND) == set()


def test_host_that_changes_otherwise_enqueues_no_other(state: ClusterState, enqueued: list[Key]) -> None:
    assert same_hostname(state, FIRST) == {SECOND}
    changed = host_object(FIRST)
    changed["spec"]["predictor"]["minReplicas"] = 2
    state.update_host(host_object(FIRST), changed)
    state.update_host(changed, changed)
    assert enqueued == []
    state.update_host(changed, host_object(FIRST, uid="a-new-host"))
    assert enqueued == [SECOND], "the new host is younger"
