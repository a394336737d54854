"""The network of a cluster: namespaces, a bridge and routes, apart from the machine's.

    machine ── relay ──▶ [ manyserve-PORT-x: br0 10.99.0.1, control plane, DNS, gateway ]
                             │ veth              │ veth
                         [ -node1: 10.99.0.11 ]  [ -node2: 10.99.0.12 ]   pods 10.244.I.0/24

`relay` is the only connection between the machine's network and the cluster's.
"""

from pathlib import Path

from localcluster.paths import FABRIC, Cluster, Node
from localcluster.process import run

NAMED = Path("/run/netns")


def make(cluster: Cluster) -> None:
    """Create the namespace of the control plane with its bridge."""
    if not cluster.netns:
        return
    run(["ip", "netns", "add", cluster.netns])
    _ip(cluster.netns, "link set lo up")
    _ip(cluster.netns, "link add br0 type bridge")
    _ip(cluster.netns, f"addr add {FABRIC}/24 dev br0")
    _ip(cluster.netns, "link set br0 up")
    _forward(cluster.netns)


def join(node: Node) -> None:
    """Create a node's namespace and connect it to the bridge."""
    fabric, end = node.cluster.name, f"to-{node.name}"
    run(["ip", "netns", "add", node.netns])
    _ip(fabric, f"link add {end} type veth peer name eth0 netns {node.netns}")
    _ip(fabric, f"link set {end} master br0 up")
    _ip(node.netns, "link set lo up")
    _ip(node.netns, f"addr add {node.address}/24 dev eth0")
    _ip(node.netns, "link set eth0 up")
    _ip(node.netns, f"route add default via {FABRIC}")
    _ip(fabric, f"route add {node.pods} via {node.address}")
    _forward(node.netns)


def processes(cluster: Cluster) -> list[int]:
    """Return the processes in a cluster's namespaces."""
    return [int(pid) for name in _names(cluster) for pid in run(["ip", "netns", "pids", name]).split()]


def remove(cluster: Cluster) -> None:
    """Remove a cluster's namespaces, and with them its bridge and links."""
    for name in _names(cluster):
        run(["ip", "netns", "delete", name])


def _names(cluster: Cluster) -> list[str]:
    if not NAMED.is_dir():
        return []
    return [p.name for p in NAMED.iterdir() if p.name == cluster.name or p.name.startswith(f"{cluster.name}-node")]


def _ip(netns: str, words: str) -> None:
    run(["ip", "-netns", netns, *words.split()])


def _forward(netns: str) -> None:
    run(["nsenter", f"--net={NAMED / netns}", "sysctl", "-qw", "net.ipv4.ip_forward=1"])
