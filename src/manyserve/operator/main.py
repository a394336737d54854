"""Entry point of `manyserve operator`: checks before the start, and the handlers by which kopf runs the process.

manyserve is a kopf operator by its charter, but informers of our own watch all objects. With kopf 1.45.2 one ERROR
event or one cut line ends the operator, deletions across an expired watch (410) are lost, and the start of an index
takes more than linear time. So there are no handlers of objects here, and kopf writes no finalizers, annotations or
events: docs/decisions/0005-kopf-runs-the-process-informers-watch.md.
"""

from __future__ import annotations

import gc
import socket
import sys
import uuid
from typing import Any, cast

import aiohttp
import kopf
import uvloop

from manyserve import logs
from manyserve.api.errors import StartupError
from manyserve.api.names import GROUP, MANAGER
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.crd_guard import CrdGuard
from manyserve.cluster.errors import ClusterError, NotFound
from manyserve.cluster.fence import Fence, Gates
from manyserve.cluster.kubeconfig import ClusterConfig, find_cluster_config
from manyserve.cluster.lease import Lease
from manyserve.cluster.write_budget import WriteBudget
from manyserve.operator import metrics
from manyserve.operator.leader_election import LEASE_TIMING, LeaderElector
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings

SWITCH_INTERVAL = 0.0005
"""Seconds after which a plan's thread yields the interpreter lock to the event loop.

Each read and write of TLS releases the lock to the plan. With the default of 5 ms, the responses to sixteen writes
blocked the loop for 100 ms and more (sampled).
"""
GC_THRESHOLDS = (1_000, 2, 20_000)
"""Thresholds of the three generations of the garbage collector.

The caches hold no cycles. CPython counts allocations minus frees, so replaced objects grow generation 0 unnoticed: with
thousands of them a collection blocked the loop for 100 ms (measured). `resync` has the cost of a full collection.
"""


def run(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises `StartupError` when it cannot start."""
    logs.set_up(settings.log_level, quiet=("kopf", "aiohttp.access"))
    uvloop.run(serve(settings))


async def serve(settings: OperatorSettings) -> None:
    """Run the operator in this event loop."""
    config = find_cluster_config()
    fence, guard = Fence() if settings.leader_election else None, CrdGuard()
    gate = Gates(guard, fence) if fence else guard
    # the Lease has connections of its own, so that no renewal waits behind writes
    count = metrics.API_REQUESTS.observe
    async with (
        KubeClient(config, gate=gate, budget=WriteBudget(), on_request=count) as client,
        KubeClient(config, connections=2, seconds=LEASE_TIMING.timeout, on_request=count) as lease_client,
    ):
        await check(client)
        elector = (
            LeaderElector(Lease(lease_client, settings.namespace, settings.lease), fence, _identity(settings))
            if fence
            else None
        )
        operator = Operator(client, settings, elector, guard)
        await operator.listen()
        sys.setswitchinterval(SWITCH_INTERVAL)
        gc.freeze()  # imported modules are never collected
        gc.set_threshold(*GC_THRESHOLDS)
        await kopf.operator(
            registry=lifecycle(operator, config),
            settings=kopf_settings(),
            clusterwide=True,
            identity=cast("Any", MANAGER),  # kopf would take the name of the user, which a container lacks
        )


async def check(client: KubeClient) -> None:
    """Return when the API server responds and serves our kinds. Raises `StartupError`."""
    for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL):
        try:
            served = await client.read(f"/apis/{kind.api_version}")
        except NotFound:
            served = {}
        except ClusterError as error:
            raise StartupError(f"the API server does not answer as it should: {error}") from error
        if kind.plural not in {resource.get("name") for resource in served.get("resources", ())}:
            raise StartupError(
                f"{kind.plural}.{GROUP} is not installed in the cluster; "
                f"install it with: manyserve crds --group {GROUP} | kubectl apply --server-side -f -"
            )


def lifecycle(operator: Operator, config: ClusterConfig) -> kopf.OperatorRegistry:
    """Return the handlers that start and stop the operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=config.server, aiohttp_session=_session(config))

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        await operator.start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await operator.stop()

    return registry


def _session(config: ClusterConfig) -> aiohttp.ClientSession:
    """Return a session for the two requests that kopf sends at its start to discover the served kinds."""
    token = config.token()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=2, ssl=config.tls or True),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    )


def kopf_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no peering, no scanning for new kinds, no events."""
    options = kopf.OperatorSettings()
    options.peering.standalone = True
    options.scanning.disabled = True
    options.posting.enabled = False
    return options


def _identity(settings: OperatorSettings) -> str:
    """Return our name in the Lease: the pod, since its container never runs twice at a time, or a unique name."""
    return settings.pod or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
