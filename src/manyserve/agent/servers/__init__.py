"""The model servers that the agent can lead, one file for each dialect."""

from __future__ import annotations

from manyserve.agent.servers.base import ModelServer, ServerGoneError, ServerRefusedError
from manyserve.agent.servers.mlserver import MLServer
from manyserve.agent.servers.v1 import V1Server
from manyserve.agent.servers.v2 import V2Server
from manyserve.agent.settings import AgentSettings

__all__ = ["MLServer", "ModelServer", "ServerGoneError", "ServerRefusedError", "V1Server", "V2Server", "model_server"]


def model_server(settings: AgentSettings) -> ModelServer:
    """Return the client of the server that stands beside the agent."""
    if settings.server_dialect == "v1":
        return V1Server(settings.server_url)
    if settings.server_dialect == "mlserver":
        return MLServer(settings.server_url)
    return V2Server(settings.server_url, key=settings.server_key)
