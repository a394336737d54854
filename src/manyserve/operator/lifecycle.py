"""The operator's life, carried by kopf: start, stop, signals. Each handler is a door, not a room.

kopf's own watches are not used, for three measured reasons: they can end while the process lives on, they
miss what was deleted across a 410, and they have no moment at which everything is known. So there are no
handlers of objects here, and kopf writes nothing to the cluster: no finalizers, annotations or events.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import kopf

from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.operator.operator import Operator


def lifecycle(operator: Operator, access: ClusterConfig) -> kopf.OperatorRegistry:
    """Return the handlers that start and stop the operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def who_we_are(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(server=access.server, aiohttp_session=_session(access))

    @kopf.on.startup(registry=registry)
    async def start(**_: Any) -> None:
        await operator.start()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        await operator.stop()

    return registry


def _session(access: ClusterConfig) -> aiohttp.ClientSession:
    """Return a session for the two reads of what the API server serves that kopf insists on at its start."""
    token = access.token()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=2, ssl=access.tls or True),
        headers={"Authorization": f"Bearer {token}"} if token else None,
    )


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: alone, silent, and quick to end."""
    found = kopf.OperatorSettings()
    found.peering.standalone = True
    found.scanning.disabled = True
    found.posting.enabled = False
    return found
