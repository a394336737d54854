"""The operator's entry point."""

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

SWITCH = 0.0005
"""Seconds after which a plan's thread hands over to the event loop.

Each read and write of TLS lets the plan go on in between: with the 5 ms that are usual, the answers to sixteen writes
kept the loop for 100 ms and more (sampled).
"""
COLLECT = (1_000, 2, 20_000)
"""When the collector of garbage walks through what is new, what is not so new, and everything.

What is known has no cycles, and what users change is as much gone as new, which the collector does not count: with
thousands at a time a walk kept the loop for 100 ms (measured). What a full one costs stands in `resync`.
"""


def run(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises `StartupError` when it cannot start."""
    logs.set_up(settings.log_level, quiet=("kopf", "aiohttp.access"))
    uvloop.run(serve(settings))


async def serve(settings: OperatorSettings) -> None:
    """Run the operator in this event loop."""
    access = find_cluster_config()
    fence, guard = Fence() if settings.leader_election else None, CrdGuard()
    gate = Gates(guard, fence) if fence else guard
    # the Lease has connections of its own: no renewal waits behind writes
    async with (
        KubeClient(access, gate=gate) as client,
        KubeClient(access, connections=2, seconds=LEASE_TIMING.patience) as own,
    ):
        await preflight.check(client)
        elector = (
            LeaderElector(Lease(own, settings.namespace, settings.lease), fence, _name(settings)) if fence else None
        )
        operator = Operator(client, settings, elector, guard)
        await operator.listen()
        sys.setswitchinterval(SWITCH)
        gc.freeze()  # what was imported stays
        gc.set_threshold(*COLLECT)
        await kopf.operator(
            registry=lifecycle.lifecycle(operator, access),
            settings=lifecycle.settings(),
            clusterwide=True,
            identity=cast("Any", MANAGER),  # kopf would ask for the user's name, and a container's user has none
        )


def _name(settings: OperatorSettings) -> str:
    """Return what the Lease names us: our pod, whose container never runs twice at a time, or something unique."""
    return settings.pod or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
