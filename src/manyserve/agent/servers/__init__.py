"""Clients of the model servers, one file for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from manyserve.agent.servers.base import LoadRejectedError, ModelServer, ServerUnavailableError
from manyserve.agent.servers.mlserver import MLServer
from manyserve.agent.servers.v1 import V1Server
from manyserve.agent.servers.v2 import V2Server

__all__ = [
    "DIALECTS",
    "LoadRejectedError",
    "MLServer",
    "ModelServer",
    "ServerUnavailableError",
    "V1Server",
    "V2Server",
]

DIALECTS: Mapping[str, Callable[[str, str | None], ModelServer]] = {
    "v2": lambda url, key: V2Server(url, key=key),
    "mlserver": lambda url, _: MLServer(url),
    "v1": lambda url, _: V1Server(url),
}
"""Client of each dialect by the server's URL and key. `plan.servers.registry` names the dialect of each server."""
