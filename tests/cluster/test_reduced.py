"""Projections of watched objects: an object that merely has our labels is kept as its identity."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster.informers import KEPT
from manyserve.cluster.kinds import CHILDREN
from manyserve.cluster.reduced import is_child, kept_autoscaler, kept_child, kept_pod
from manyserve.cluster.state import ClusterState
from manyserve.plan.observed import Child
from tests.support import make, replicas
from tests.support.replicas import HOST, controlled_by

Manifest = dict[str, Any]
KEY = Key("default", HOST)
LARGE = "x" * 2**20
SMALL = 16 * 2**10
"""Bytes of an identity at most, with cut labels and owners."""


def labelled(kind: str, name: str, **metadata: Any) -> Manifest:
    own = {"name": name, "namespace": "default", "uid": "u", "resourceVersion": "1", "labels": names.labels(HOST)}
    return {"kind": kind, "metadata": own | metadata, "data": {"x": LARGE}, "spec": {"x": LARGE}}


def claimants(kind: str) -> list[Manifest]:
    """Return objects of a kind that claim to be children of the host."""
    chain = controlled_by("Deployment", "uid-deployment")
    return [
        labelled(kind, HOST, ownerReferences=controlled_by("InferenceService", "u", "another")),
        labelled(kind, names.deployment(HOST), ownerReferences=chain),
        labelled(kind, "another", annotations={"note": LARGE}, ownerReferences=chain * 500),
        labelled(kind, HOST, ownerReferences=[chain[0] | {"uid": LARGE, "name": LARGE}]),
    ]


@pytest.mark.parametrize("kind", [kind.name for kind in CHILDREN])
def test_object_with_our_labels_alone_is_kept_as_its_identity(kind: str) -> None:
    state = ClusterState(lambda _key: None)
    for manifest in claimants(kind):
        kept = KEPT[kind](manifest)
        assert len(json.dumps(kept)) < SMALL
        assert KEPT[kind](kept) == kept, "a namespace that enters the scope gives it once more"
        state.update_child(None, manifest)
        assert state.children.get(KEY, {}) == {}
        state.update_child(kept, None)


@pytest.mark.parametrize("kind", ["ConfigMap", "Deployment", "Service"])
def test_object_without_an_owner_and_another_name_is_no_child(kind: str) -> None:
    assert not is_child(labelled(kind, "another"))
    assert not is_child(labelled(kind, "another", ownerReferences=controlled_by("InferenceService", f"uid-{HOST}")))


def test_child_is_kept_whole() -> None:
    owners = controlled_by("InferenceService", f"uid-{HOST}")
    for kind, name in (("ConfigMap", names.model_config(HOST)), ("Service", HOST), ("Ingress", HOST)):
        owned = labelled(kind, name, ownerReferences=owners)
        assert kept_child(owned) is owned
        orphan = labelled(kind, name)
        assert kept_child(orphan) is orphan, "the host adopts it"


def test_autoscaler_of_a_user_keeps_its_target_only() -> None:
    target = {"kind": "Deployment", "name": names.deployment(HOST), "x": LARGE}
    manifest = labelled("HorizontalPodAutoscaler", "mine", labels={}) | {"spec": {"scaleTargetRef": target}}
    kept = kept_autoscaler(manifest)
    assert len(json.dumps(kept)) < SMALL
    state = ClusterState(lambda _key: None)
    state.update_autoscaler(None, kept)
    assert list(state.autoscalers[KEY]) == ["mine"]


def test_pod_keeps_what_plans_read() -> None:
    pod = make.pod(annotations={names.CONFIG_HASH: "h", "note": LARGE})
    claim = {"name": "c", "persistentVolumeClaim": {"claimName": "mine"}}
    pod["spec"] = {"volumes": [claim, {"name": "o", "secret": {"x": LARGE}}], "containers": [{"args": [LARGE]}]}
    kept = kept_pod(pod)
    assert len(json.dumps(kept)) < SMALL
    assert kept["spec"] == {"volumes": [claim]}
    assert kept["status"] == pod["status"]
    assert kept["metadata"]["annotations"] == {names.CONFIG_HASH: "h"}
    assert kept_pod(kept) == kept


def test_pod_keeps_which_init_containers_run_beside_the_server() -> None:
    pod = make.pod()
    pod["spec"] = {"initContainers": [{"name": "proxy", "restartPolicy": "Always", "image": LARGE}, {"name": "fetch"}]}
    kept = kept_pod(pod)
    assert kept["spec"]["initContainers"] == [{"name": "proxy", "restartPolicy": "Always"}, {"name": "fetch"}]
    assert kept_pod(kept) == kept


def test_bare_pod_with_the_labels_of_a_host_is_in_no_snapshot() -> None:
    state = ClusterState(lambda _key: None)
    state.update_host(None, make.host_object())
    replicas.add_chain(state)
    bare = make.pod("bare")
    bare["metadata"].pop("ownerReferences")
    state.update_pod(None, bare)
    state.update_pod(None, make.pod())
    assert [each["metadata"]["name"] for each in state.replicas(KEY)] == ["pod-1"]
    assert list(state.pods[KEY]) == ["pod-1"]
    assert "status" not in kept_pod(bare)


def test_replicas_follow_each_link_of_the_chain() -> None:
    state = ClusterState(lambda _key: None)
    seen: list[int] = []
    state.on_replicas = lambda host: seen.append(len(state.replicas(host)))
    state.update_pod(None, make.pod())
    state.update_replica_set(None, replicas.replica_set())
    state.update_child(None, replicas.deployment())
    state.update_host(None, make.host_object())
    assert seen == [0, 0, 0, 1]
    state.update_child(replicas.deployment(), None)
    assert seen[-1] == 0


def test_replica_set_enqueues_its_host_for_other_links_only() -> None:
    enqueued: list[Key] = []
    state = ClusterState(enqueued.append)
    one, scaled = replicas.replica_set(), replicas.replica_set(resourceVersion="2")
    state.replica_set_changed(None, one)
    assert enqueued == [KEY]
    state.replica_set_changed(one, scaled)
    assert enqueued == [KEY]
    state.replica_set_changed(scaled, replicas.replica_set(ownerReferences=[]))
    assert enqueued == [KEY, KEY]


def test_unknown_object_of_our_name_is_no_child_of_the_snapshot() -> None:
    state = ClusterState(lambda _key: None)
    state.update_child(None, replicas.deployment(ownerReferences=controlled_by("InferenceService", "u", "another")))
    assert Child("Deployment", names.deployment(HOST)) not in state.children.get(KEY, {})
