"""Clients of the model servers, one file for each dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from manyserve.agent.servers.base import LoadRejectedError, ModelServer, RefusedFilesError, ServerUnavailableError
from manyserve.agent.servers.mlserver import MLServer
from manyserve.agent.servers.v1 import V1Server
from manyserve.agent.servers.v2 import V2Server

__all__ = [
    "DIALECTS",
    "LoadRejectedError",
    "MLServer",
    "ModelServer",
    "RefusedFilesError",
    "ServerUnavailableError",
    "V1Server",
    "V2Server",
]

DIALECTS: Mapping[str, Callable[[str, str | None, Sequence[str]], ModelServer]] = {
    "v2": lambda url, key, backends: V2Server(url, key=key, backends=backends),
    "mlserver": lambda url, _key, _backends: MLServer(url),
    "v1": lambda url, _key, _backends: V1Server(url),
}
"""Client of each dialect by the server's URL, its key and its allowed backends.

`plan.servers.registry` names the dialect of each server.
"""
