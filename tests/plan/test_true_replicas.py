"""True replicas: only the chain of controllers up to the host's uid makes a pod a replica."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.plan.true_replicas import true_replicas
from tests.support import make, replicas
from tests.support.replicas import controlled_by

Manifest = dict[str, Any]
HOST, UID = Key("default", "triton-mms"), "uid-triton-mms"


def names_of(
    pod: Manifest, *, uid: str | None = UID, deployment: Manifest | None = None, sets: Manifest | None = None
) -> list[str]:
    chain = ([deployment or replicas.deployment()], [sets or replicas.replica_set()])
    return [each["metadata"]["name"] for each in true_replicas(HOST, uid, *chain, [pod])]


def pod(**metadata: Any) -> Manifest:
    manifest = make.pod()
    return manifest | {"metadata": manifest["metadata"] | metadata}


def test_pod_of_the_hosts_deployment_is_a_replica() -> None:
    assert names_of(pod()) == ["pod-1"]


def test_pods_are_not_judged_without_a_deployment() -> None:
    """A host with the same models on all pods has no routers, and a thousand pods."""
    pods = iter([pod()])
    assert list(true_replicas(HOST, UID, [], [replicas.replica_set()], pods)) == []
    assert len(list(pods)) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": []},
        {"ownerReferences": None},
        {"ownerReferences": controlled_by("ReplicaSet", "uid-of-another")},
        {"ownerReferences": controlled_by("Deployment", "uid-deployment")},
        {"ownerReferences": controlled_by("InferenceService", UID)},
        {"ownerReferences": [replicas.pod_owners()[0] | {"controller": False}]},
        {"labels": {**replicas.pod_labels(), "pod-template-hash": "other"}},
        {"labels": {key: each for key, each in replicas.pod_labels().items() if key != "pod-template-hash"}},
    ],
    ids=["bare", "null", "other set", "deployment", "host", "owned only", "other hash", "no hash"],
)
def test_pod_with_another_controller_or_hash_is_no_replica(metadata: Manifest) -> None:
    assert names_of(pod(**metadata)) == []


@pytest.mark.parametrize(
    "owners",
    [[], controlled_by("Deployment", "uid-of-another"), controlled_by("InferenceService", UID)],
    ids=["none", "another deployment", "host"],
)
def test_pod_of_a_forged_replica_set_is_no_replica(owners: list[Manifest]) -> None:
    assert names_of(pod(), sets=replicas.replica_set(ownerReferences=owners)) == []


def test_pod_of_an_earlier_hosts_deployment_is_no_replica() -> None:
    assert names_of(pod(), uid="uid-of-the-next-host") == []
    assert names_of(pod(), uid=None) == []


def test_pod_of_an_orphaned_deployment_is_a_replica_while_the_host_adopts_it() -> None:
    orphan = replicas.deployment(ownerReferences=[])
    assert names_of(pod(), deployment=orphan) == ["pod-1"]
    assert names_of(pod(), deployment=replicas.deployment(ownerReferences=[], labels={})) == []


def test_pod_without_any_deployment_is_no_replica() -> None:
    assert list(true_replicas(HOST, UID, [], [replicas.replica_set()], [pod()])) == []
