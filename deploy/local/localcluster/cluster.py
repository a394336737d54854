"""Bring a cluster up, take it down, print its state.

`up` is a straight line. It leaves healthy parts alone, removes stale ones, and then starts the parts in the order of
their dependencies. A cluster that failed to start keeps its logs until the next `up` or `down`.
"""

import json
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from localcluster import (
    api,
    controlplane,
    dns,
    gateway,
    helpers,
    host,
    network,
    node,
    process,
    relay,
    remains,
    tools,
)
from localcluster.images.catalog import IMAGES, SMALL
from localcluster.images.store import ensure, load
from localcluster.lock import lock
from localcluster.paths import FABRIC, Cluster
from localcluster.say import Failure, Refusal, say
from localcluster.wait import until


def up(wanted: Cluster) -> None:
    """Ensure a healthy cluster on this port."""
    with lock(f"run-{wanted.port}"):
        running = read(wanted.port)
        if running and _becomes_healthy(running):
            _same_or_refuse(running, wanted)
            say(f"a healthy cluster is already running on port {wanted.port}")
            return
        _ensure_parts(wanted)
        remains.clear(wanted)
        _refuse_taken_ports(wanted)
        _start(wanted)


def down(port: int) -> None:
    """Remove the cluster on this port."""
    with lock(f"run-{port}"):
        remains.clear(Cluster(port))


def load_images(port: int, names: list[str]) -> None:
    """Load images onto the nodes of the cluster on this port."""
    with lock(f"run-{port}"):
        running = read(port)
        if not running or not _becomes_healthy(running):
            raise Refusal(f"no healthy cluster runs on port {port}: start one with `up`")
        load(running, names)


def read(port: int) -> Cluster | None:
    """Return the cluster that was started on this port, in any state."""
    try:
        facts = json.loads((Cluster(port).folder / "cluster.json").read_text())
    except (OSError, ValueError):
        return None
    return Cluster(**facts)


def healthy(cluster: Cluster) -> bool:
    """Return whether every started program lives and every node is ready."""
    return _alive(cluster) and api.ready(cluster) and all(map(api.node_ready, cluster.members))


def _alive(cluster: Cluster) -> bool:
    names = process.names(cluster)
    whole = bool(names) and (cluster.folder / "complete").exists()
    return whole and all(process.find(cluster, name) for name in names)


def _becomes_healthy(cluster: Cluster) -> bool:
    """Wait until a cluster with live processes answers: a busy machine needs time."""
    try:
        return _alive(cluster) and until("the cluster", lambda: healthy(cluster), limit=30)
    except Failure:
        return False


def _ensure_parts(wanted: Cluster) -> None:
    """Ensure the programs and images of a cluster before anything is changed."""
    if wanted.control_plane_only:
        host.check_for_control_plane()
        tools.ensure("kubernetes")
        return
    host.check_for_nodes()
    tools.ensure("kubernetes", "coredns", "contour")
    helpers.ensure()
    for name in SMALL:
        ensure(IMAGES[name])


def _same_or_refuse(running: Cluster, wanted: Cluster) -> None:
    if running != wanted:
        have = "a control plane without nodes" if running.control_plane_only else f"{running.nodes} node(s)"
        raise Refusal(f"a cluster with {have} runs on port {wanted.port}: take it down first, or choose another --port")


def _refuse_taken_ports(cluster: Cluster) -> None:
    """Refuse when a needed port of the machine is taken."""
    count = 6 if cluster.control_plane_only else 2
    for port in range(cluster.port, cluster.port + count):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise Refusal(f"port {port} is in use by another program: choose another with --port") from None


def _start(cluster: Cluster) -> None:
    cluster.folder.mkdir(parents=True)
    (cluster.folder / "cluster.json").write_text(json.dumps(asdict(cluster)))
    if cluster.netns:
        network.make(cluster)
        _open_door(cluster, cluster.netns)
    controlplane.start(cluster)
    if cluster.netns:
        dns.start(cluster)
        for member in cluster.members:
            node.start(member)
        gateway.start(cluster)
        gateway.wait(cluster)
        for member in cluster.members:
            node.wait(member)
        load(cluster, SMALL)
    (cluster.folder / "complete").touch()


def _open_door(cluster: Cluster, netns: str) -> None:
    """Make the API server and the gateway reachable from the machine."""
    routes = [f"{cluster.port}=127.0.0.1:{cluster.port}", f"{cluster.gateway_port}={FABRIC}:80"]
    script = [sys.executable, "-P", Path(relay.__file__), network.NAMED / netns]
    process.start(cluster, "relay", [*script, *routes])


def status(port: int) -> int:
    """Print the programs of a port; return 0 when it is a healthy cluster."""
    running = read(port)
    if not running:
        say(f"no cluster on port {port}")
        return 1
    for name in process.names(running):
        say(f"{name:24} {process.find(running, name) or 'ended'}")
    for member in running.members:
        say(f"{member.name:24} {'Ready' if api.node_ready(member) else 'not ready'}")
    good = healthy(running)
    say(f"{'network namespace':24} {running.netns or 'of the host'}")
    say(f"the cluster on port {port} is {'healthy' if good else 'not healthy'}")
    return 0 if good else 1
