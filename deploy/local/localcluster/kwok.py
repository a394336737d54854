"""A simulated node: kwok reports its pods as running, for measurements with hundreds of them.

Deployments, ReplicaSets, the scheduler and the requests to the API server are real; no program runs in a pod. Each
pod has an address of its own on this machine's loopback, so that a stand-in can answer there for it.
"""

import json
from collections.abc import Mapping

from localcluster import api, process
from localcluster.paths import HERE, Cluster, binary
from localcluster.say import step
from localcluster.wait import until

STAGES = HERE / "manifests" / "kwok.yaml"
POD_ADDRESSES = "127.64.0.1/16"
NODE = "played"
MARK = "kwok.x-k8s.io/node"
CAPACITY: Mapping[str, str] = {"cpu": "10k", "memory": "1Pi", "pods": "10k"}


def start(cluster: Cluster) -> None:
    """Create one simulated node with capacity for any request."""
    with step("starting kwok, and a node of its own"):
        process.start(cluster, "kwok", _kwok(cluster))
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE, "annotations": {MARK: "fake"}},
            "status": {"allocatable": CAPACITY, "capacity": CAPACITY},
        }
        api.kubectl(cluster, "apply", "-f", "-", text=json.dumps(node))
        until("the played node", lambda: _ready(cluster), limit=60)


def _ready(cluster: Cluster) -> bool:
    process.must_live(cluster, "kwok")
    return api.holds(api.get(cluster, f"/api/v1/nodes/{NODE}"), "Ready")


def _kwok(cluster: Cluster) -> list[str]:
    return [
        binary("kwok"),
        f"--config={STAGES}",
        f"--kubeconfig={cluster.folder}/kwok.kubeconfig",
        f"--manage-nodes-with-annotation-selector={MARK}=fake",
        "--manage-all-nodes=false",
        f"--cidr={POD_ADDRESSES}",
        "--node-ip=127.0.0.1",
        "--node-lease-duration-seconds=40",
    ]
