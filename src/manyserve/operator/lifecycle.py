"""Handlers by which kopf runs the process: login, startup, cleanup and signals.

manyserve is a kopf operator by its charter, but informers of our own watch all objects. With kopf 1.45.2 one ERROR
event or one cut line ends the operator, deletions across an expired watch (410) are lost, and the start of an index
takes more than linear time. So there are no handlers of objects here, and kopf writes no finalizers, annotations or
events: docs/decisions/0005-kopf-runs-the-process-informers-watch.md.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import kopf

from manyserve.cluster.kubeconfig import ClusterConfig
from manyserve.operator.operator import Operator


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


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no peering, no scanning for new kinds, no events."""
    options = kopf.OperatorSettings()
    options.peering.standalone = True
    options.scanning.disabled = True
    options.posting.enabled = False
    return options
