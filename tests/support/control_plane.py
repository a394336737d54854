"""A real API server for a folder's tests: etcd, the API server and its controllers, without nodes.

The `conftest.py` of a folder that needs one imports these fixtures; the control plane lives as long as the run.
"""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import cluster
from localcluster.paths import Cluster, cache
from localcluster.tools import TOOLS
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Refused
from tests.support.programs import ports_of_worker

CRDS = Path(__file__).parents[2] / "crds"
PORTS = 6


# Python 3.11 leaves a transport behind when a client stops in the middle of a TLS handshake, as an operator does at its
# end. The garbage collector then warns in the next test.
LEFT_BEHIND = tuple(
    f"ignore:Exception ignored in. <{what}:pytest.PytestUnraisableExceptionWarning"
    for what in ("function _SelectorTransport.__del__", "socket.socket")
)


def mark(items: list[pytest.Item], folder: Path, marker: str) -> None:
    """Mark all tests of a folder."""
    for item in items:
        if folder in item.path.parents:
            item.add_marker(marker)
            for warning in LEFT_BEHIND:
                item.add_marker(pytest.mark.filterwarnings(warning))


def _free_ports() -> int:
    """Return the first of some neighbouring ports that are free."""
    for _ in range(100):
        first = random.choice(ports_of_worker(range(24000, 29000))[::PORTS][:-1])
        if all(_is_free(port) for port in range(first, first + PORTS)):
            return first
    raise AssertionError("no free ports for an API server")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="session")
def api_server() -> Iterator[Cluster]:
    """Return a running API server with the CRDs."""
    with control_plane() as server:
        yield server


@contextmanager
def control_plane() -> Iterator[Cluster]:
    """Run an API server with the CRDs."""
    with bare_control_plane() as server:
        kubectl = Kubectl(environment(server))
        kubectl("apply", "--server-side", "-f", str(CRDS))
        eventually_sync(lambda: _are_served(kubectl), "the kinds are served")
        yield server


@contextmanager
def bare_control_plane() -> Iterator[Cluster]:
    """Run an API server without any CRD."""
    if not TOOLS["kubernetes"].home.is_dir():
        pytest.fail("there is no Kubernetes to test against: run make tools", pytrace=False)
    server = Cluster(_free_ports(), control_plane_only=True)
    cluster.up(server)
    try:
        yield server
    finally:
        cluster.down(server.port)


@pytest.fixture(scope="session")
def bare_server() -> Iterator[Cluster]:
    """Return a running API server without any CRD; a test removes the CRDs that it makes."""
    with bare_control_plane() as server:
        yield server


def _are_served(kubectl: Kubectl) -> bool:
    """Return whether the kinds can be listed. kubectl cannot wait for a CRD that has no status yet."""
    try:
        return kubectl("get", "isvc,tm", "-A") == ""
    except Refused:
        return False


def environment(server: Cluster) -> dict[str, str]:
    """Return the environment in which kubectl reaches the API server."""
    path = f"{cache() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return dict(os.environ) | {"KUBECONFIG": str(server.kubeconfig), "PATH": path}


@pytest.fixture
def kubectl(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in a new namespace for the test."""
    with new_namespace(api_server) as kubectl:
        yield kubectl


@contextmanager
def new_namespace(server: Cluster) -> Iterator[Kubectl]:
    """Create a namespace, and yield kubectl for it."""
    kubectl = Kubectl(environment(server), f"test-{uuid.uuid4().hex[:8]}")
    kubectl("create", "namespace", kubectl.namespace)
    yield kubectl
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


@pytest.fixture
async def client(api_server: Cluster) -> AsyncIterator[KubeClient]:
    """The project's own client."""
    async with KubeClient(find_cluster_config({"KUBECONFIG": str(api_server.kubeconfig)})) as client:
        yield client
