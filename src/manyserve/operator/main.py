"""Entry point of `manyserve operator`."""

from __future__ import annotations

import gc
import socket
import sys
import uuid
from typing import Any, cast

import kopf
import uvloop

from manyserve import logs
from manyserve.api.names import MANAGER
from manyserve.cluster.client import KubeClient
from manyserve.cluster.crd_guard import CrdGuard
from manyserve.cluster.fence import Fence, Gates
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.cluster.lease import Lease
from manyserve.operator import lifecycle, preflight
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
    async with (
        KubeClient(config, gate=gate) as client,
        KubeClient(config, connections=2, seconds=LEASE_TIMING.timeout) as lease_client,
    ):
        await preflight.check(client)
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
            registry=lifecycle.lifecycle(operator, config),
            settings=lifecycle.settings(),
            clusterwide=True,
            identity=cast("Any", MANAGER),  # kopf would take the name of the user, which a container lacks
        )


def _identity(settings: OperatorSettings) -> str:
    """Return our name in the Lease: the pod, since its container never runs twice at a time, or a unique name."""
    return settings.pod or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
