"""Delta ADS between the xDS server and a real Envoy: refusals, and streams that end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from manyserve.router.buckets import RESOURCES
from manyserve.router.endpoints import Ports, load_assignment
from manyserve.router.xds import XdsServer
from tests.router.rig import LIMIT, POLL, Rig, RouterPod
from tests.support.eventually import eventually

pytestmark = pytest.mark.router


class Xds:
    """An xDS server in this process, for an Envoy without a router program."""

    def __init__(self, router: RouterPod) -> None:
        self.server = XdsServer(time.monotonic, lambda: None)
        self._ports = Ports(router.ports.http, router.ports.grpc, 1, 1)

    def set(self, version: int, *names: str, address: str = "127.0.1.1") -> None:
        """Put resources with one endpoint in force."""
        resources = {name: load_assignment(name, {address: ["a", "both"]}, self._ports) for name in names}
        self.server.set({name: (version, body) for name, body in resources.items()})

    async def has(self, version: int, *names: str) -> None:
        """Wait until Envoy has this version of these resources."""

        def all_acknowledged() -> bool:
            acknowledged = self.server.acknowledged()
            return all(acknowledged.get(name) == version for name in names)

        await eventually(all_acknowledged, f"version {version}", LIMIT, POLL)


@pytest.fixture
async def xds(pods: Rig) -> AsyncIterator[Xds]:
    """Return an xDS server with an Envoy that has the first version of all resources."""
    router = await pods.add_router(start=False)
    xds = Xds(router)
    xds.set(1, *RESOURCES)
    await xds.server.start(router.folder / "xds.sock")
    await router.start_envoy()
    await xds.has(1, *RESOURCES)
    yield xds
    await xds.server.stop()


async def test_refused_name_keeps_its_version_and_the_others_get_theirs(pods: Rig, xds: Xds) -> None:
    good, bad = RESOURCES[:100], RESOURCES[100:102]
    await pods.answers("a")
    xds.set(2, *bad, address="not-an-address")
    xds.set(2, *good)
    await xds.has(2, *good)
    await xds.has(1, *bad)
    assert xds.server.nacks >= 2
    assert "not-an-address" in xds.server.nack
    assert await pods.infer("a") == 200
    xds.set(3, *good, *bad)
    await xds.has(3, *good, *bad)
    assert xds.server.nack == ""


async def test_several_changes_while_a_response_is_in_flight_are_one_update(xds: Xds) -> None:
    before = xds.server.acks
    for version in range(2, 52):
        xds.set(version, *RESOURCES)
    await xds.has(51, *RESOURCES)
    assert xds.server.acks - before <= 3


async def test_ended_stream_is_no_acknowledgement(pods: Rig, xds: Xds) -> None:
    await pods.router.kill("envoy")
    await eventually(lambda: not xds.server.acknowledged(), limit=LIMIT, pause=POLL)
    await pods.router.start_envoy()
    await xds.has(1, *RESOURCES)


async def test_program_that_starts_again_with_the_same_versions_is_believed(pods: Rig, xds: Xds) -> None:
    await pods.answers("a")
    await xds.server.stop()
    assert await pods.infer("a") == 200
    other = Xds(pods.router)
    other.set(1, *RESOURCES, address="127.0.1.2")
    await other.server.start(pods.router.folder / "xds.sock")
    await other.has(1, *RESOURCES)
    await eventually(lambda: from_pod(pods, "1"), "the endpoints of the new program", LIMIT, POLL)
    await other.server.stop()


async def from_pod(rig: Rig, uid: str) -> bool:
    status, body = await rig.ask("/v2/models/both/infer")
    return bool(status == 200 and body["pod"] == uid)
