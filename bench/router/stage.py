"""Stage of the benchmark: model servers, their agents, a router, a plain Envoy, and an Envoy with one model at most."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.router.pods import PodPorts, StrictPod
from tests.router.rig import Rig, RouterPod
from tests.support.eventually import eventually
from tests.support.programs import free_ports

from localcluster import helpers, paths
from manyserve.router.buckets import RESOURCES, bucket_of, resources_of
from manyserve.router.endpoints import Ports, load_assignment
from manyserve.router.xds import XdsServer

MODELS_OF_A_POD = 600
"""Copies of models on one pod: 10,000 models with two copies are on 34 pods."""
ADDRESSES = [f"127.0.1.{number + 1}" for number in range(100)]


@dataclass
class Stage:
    """The programs of one run."""

    rig: Rig
    pods: list[StrictPod]
    plain: int
    """Port of the plain Envoy."""
    floor: RouterPod
    xds: XdsServer
    servers: Process

    def change_floor(self, model: str, version: int) -> None:
        """Put the endpoint of one model in force at the floor's Envoy."""
        ports = _ports(self.rig)
        names = resources_of(bucket_of(model))
        self.xds.set({name: (version, load_assignment(name, {ADDRESSES[0]: [model]}, ports)) for name in names})


def _ports(rig: Rig) -> Ports:
    """Return the ports of endpoints; the activator is that of the router."""
    activator = (int(rig.router.env[f"MANYSERVE_ACTIVATOR_{kind}_PORT"]) for kind in ("HTTP", "GRPC"))
    return Ports(rig.ports.http, rig.ports.grpc, *activator)


@asynccontextmanager
async def stage(folder: Path, models: list[str]) -> AsyncIterator[Stage]:
    """Run all programs, with two copies of each model, until the end of the block."""
    helpers.ensure()
    envoy = str(paths.cache() / "bin" / "envoy")
    ports = PodPorts(*free_ports(3))
    servers = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.router.server", str(ports.http), *ADDRESSES
    )
    number_of_pods = max(3, math.ceil(2 * len(models) / MODELS_OF_A_POD))
    pods = [StrictPod(str(number), address, ports) for number, address in enumerate(ADDRESSES[:number_of_pods])]
    for number, pod in enumerate(pods):
        pod.load(*(model for index, model in enumerate(models) if (number - index) % number_of_pods < 2))
        await pod.start_agent()
    rig = Rig(folder, envoy, [], ports)
    rig.write_pods(*pods)
    await rig.add_router()
    floor = await rig.add_router(start=False)
    xds = await _floor_server(floor, _ports(rig))
    plain, port = await _plain(folder, envoy, ports.http)
    try:
        yield Stage(rig, pods, port, floor, xds, servers)
    finally:
        for process in (plain, servers):
            process.kill()
            await process.wait()
        await rig.close()
        await xds.stop()
        for pod in pods:
            await pod.stop_agent()


async def _floor_server(floor: RouterPod, ports: Ports) -> XdsServer:
    """Start an Envoy without models, and its xDS server in this process."""
    xds = XdsServer(time.monotonic, lambda: None)
    xds.set({name: (1, load_assignment(name, {}, ports)) for name in RESOURCES})
    await xds.start(floor.folder / "xds.sock")
    await floor.start_envoy()
    await eventually(lambda: set(xds.acknowledged().values()) == {1}, "the floor's Envoy has its resources")
    return xds


async def _plain(folder: Path, envoy: str, server: int) -> tuple[Process, int]:
    """Start an Envoy with one route to all servers, and return it with its port."""
    (port,) = free_ports(1)
    path = folder / "plain.json"
    path.write_text(json.dumps(_plain_config(port, server)))
    options = ("--concurrency", "2", "--disable-hot-restart", "--log-level", "error")
    process = await asyncio.create_subprocess_exec(envoy, "-c", str(path), *options)
    await eventually(lambda: _is_open(port), "the plain Envoy listens")
    return process, port


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _plain_config(port: int, server: int) -> dict[str, Any]:
    prefix = "type.googleapis.com/envoy.extensions.filters"
    endpoints = [{"endpoint": {"address": _address(each, server)}} for each in ADDRESSES]
    manager = {
        "@type": f"{prefix}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "generate_request_id": False,
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{prefix}.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "all", "timeout": "0s"}}],
                }
            ]
        },
    }
    assignment = {"cluster_name": "all", "endpoints": [{"lb_endpoints": endpoints}]}
    cluster = {"name": "all", "lb_policy": "LEAST_REQUEST", "load_assignment": assignment}
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    listener = {"address": _address("127.0.0.1", port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}
