"""The operator's entry point."""

from __future__ import annotations

import gc
from typing import Any, cast

import kopf
import uvloop

from manyserve import logs
from manyserve.api.names import MANAGER
from manyserve.cluster.access import find_access
from manyserve.cluster.client import KubeHttp
from manyserve.operator import handlers, start
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings


def run(settings: OperatorSettings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises `StartupError` when it cannot start."""
    logs.set_up(settings.log_level, quiet=("kopf", "aiohttp.access"))
    uvloop.run(serve(settings))


async def serve(settings: OperatorSettings) -> None:
    """Run the operator in this event loop."""
    access = find_access()
    async with KubeHttp(access) as client:
        await start.check(client)
        operator = Operator(client, settings)
        await operator.listen()
        gc.freeze()  # what was imported stays
        await kopf.operator(
            registry=handlers.lifecycle(operator, access),
            settings=handlers.settings(),
            clusterwide=True,
            identity=cast("Any", MANAGER),  # kopf would ask for the user's name, and a container's user has none
        )
