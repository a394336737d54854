"""Fixtures: Envoy's binary, and a rig of strict pods with a router."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localcluster import helpers, paths
from tests.router.pods import PodPorts, StrictPod
from tests.router.rig import Rig
from tests.support.programs import free_ports

PODS = 3


@pytest.fixture(scope="session")
def envoy() -> str:
    """Return the path of Envoy, which the first call installs."""
    helpers.ensure()
    return str(paths.cache() / "bin" / "envoy")


@pytest.fixture
async def pods(request: pytest.FixtureRequest, tmp_path: Path, envoy: str) -> AsyncIterator[Rig]:
    """Return a rig with pods and no router; the models a, b and c are on one pod each, and both is on two."""
    ports = PodPorts(*free_ports(3))
    number = getattr(request, "param", PODS)
    pods = [StrictPod(str(index), f"127.0.1.{index + 1}", ports) for index in range(number)]
    rig = Rig(tmp_path, envoy, pods, ports)
    for pod, name in zip(pods, "abc", strict=False):
        await pod.start()
        pod.load(name)
    for pod in pods[:2]:
        pod.load("both")
    rig.write_pods(*pods)
    yield rig
    await rig.close()


@pytest.fixture
async def rig(pods: Rig) -> Rig:
    """Return a rig with one router, which is ready."""
    await pods.add_router()
    return pods
