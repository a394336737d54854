"""Paths: the cache that outlives clusters, and the folder and names of one cluster.

    $CACHE/tools/NAME-KEY/   one built program each, KEY a hash of its inputs
    $CACHE/bin/              links to the current ones (put it on PATH for kubectl)
    $CACHE/images/           image archives
    $CACHE/run/PORT/         one running cluster: certificates, logs, data, pids

Ports, the same inside a cluster's namespace and on the machine's loopback: PORT is the API server, PORT+1 the gateway
(port 80 inside), and PORT+2 to PORT+5 etcd and the controllers. The machine has those only for a control plane without
nodes.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROJECT = HERE.parent.parent

FABRIC = "10.99.0.1"
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
MAX_NODES = 4


def cache() -> Path:
    """Return the folder of the cache."""
    if own := os.environ.get("MANYSERVE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "manyserve"


def binary(name: str) -> str:
    """Return the path of a cached program."""
    return str(cache() / "bin" / name)


@dataclass(frozen=True)
class Cluster:
    """One cluster, known by its port."""

    port: int = 22000
    nodes: int = 1
    control_plane_only: bool = False

    @property
    def folder(self) -> Path:
        """The folder of all files of this cluster."""
        return cache() / "run" / str(self.port)

    @property
    def name(self) -> str:
        """Its name in lists of namespaces and cgroups: by port and cache, so that no run ends another's cluster."""
        owner = hashlib.sha256(str(cache().resolve()).encode()).hexdigest()[:4]
        return f"manyserve-{self.port}-{owner}"

    @property
    def netns(self) -> str | None:
        """The network namespace of the control plane; None is the machine's."""
        return None if self.control_plane_only else self.name

    @property
    def gateway_port(self) -> int:
        """The machine's port for requests to the ingress gateway."""
        return self.port + 1

    @property
    def server(self) -> str:
        """The API server's address, both on the machine and in the control plane's namespace."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "admin.kubeconfig"

    @property
    def members(self) -> list["Node"]:
        """Its nodes."""
        return [] if self.control_plane_only else [Node(self, i) for i in range(1, self.nodes + 1)]


@dataclass(frozen=True)
class Node:
    """One node of a cluster."""

    cluster: Cluster
    number: int

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return f"node{self.number}"

    @property
    def folder(self) -> Path:
        """Its configuration, logs and containers."""
        return self.cluster.folder / self.name

    @property
    def netns(self) -> str:
        """Its network namespace."""
        return f"{self.cluster.name}-{self.name}"

    @property
    def address(self) -> str:
        """Its address on the cluster's bridge."""
        return f"{FABRIC}{self.number}"

    @property
    def pods(self) -> str:
        """The addresses of its pods."""
        return f"10.244.{self.number}.0/24"
