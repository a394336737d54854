"""Settings of `manyserve router`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from manyserve.api import routerenv
from manyserve.api.agentreport import AGENT_PORT
from manyserve.api.names import GRPC_PORT, HTTP_PORT
from manyserve.router.endpoints import Ports
from manyserve.router.envoy.types import EnvoyOptions
from manyserve.settings_env import Settings, env
from manyserve.settings_types import AbsolutePath, Count, LogLevel, Port, Seconds

MIB = 1024**2


class RouterSettings(Settings):
    """All settings of the router program, which also has those of Envoy's static configuration."""

    router: str = Field(
        validation_alias=routerenv.ROUTER_ID,
        pattern="^[A-Za-z0-9][-A-Za-z0-9._]{0,62}$",
        description="the name by which agents know this router: the UID of its pod",
    )
    pods_file: AbsolutePath = env(routerenv.PODS_FILE, default=Path("/mnt/router/pods.json"))
    """The pods of the host, as the operator writes them."""
    run_dir: AbsolutePath = env(routerenv.RUN_DIR, default=Path("/run/manyserve"))
    """The folder of the sockets, which Envoy's container mounts, too."""
    address: str = env("MANYSERVE_ROUTER_ADDRESS", default="::")
    """The address of Envoy's listeners."""
    port: Port = env("MANYSERVE_ROUTER_PORT", default=routerenv.ROUTER_PORT)
    """Probes, metrics and status of the program."""
    http_port: Port = env("MANYSERVE_ROUTER_HTTP_PORT", default=HTTP_PORT)
    grpc_port: Port = env("MANYSERVE_ROUTER_GRPC_PORT", default=GRPC_PORT)
    status_port: Port = env("MANYSERVE_ENVOY_STATUS_PORT", default=routerenv.ENVOY_STATUS_PORT)
    """Readiness and metrics of Envoy."""
    activator_http_port: Port = env("MANYSERVE_ACTIVATOR_HTTP_PORT", default=9084)
    activator_grpc_port: Port = env("MANYSERVE_ACTIVATOR_GRPC_PORT", default=9085)
    agent_port: Port = env("MANYSERVE_AGENT_PORT", default=AGENT_PORT)
    server_http_port: Port = env(routerenv.SERVER_HTTP_PORT, default=HTTP_PORT)
    server_grpc_port: Port = env("MANYSERVE_SERVER_GRPC_PORT", default=GRPC_PORT)
    max_request_bytes: Count = env(routerenv.MAX_REQUEST_BYTES, default=64 * MIB)
    """The largest body of an HTTP request, and the largest first message of a gRPC request."""
    endpoint_seconds: Seconds = env("MANYSERVE_ENDPOINT_SECONDS", default=routerenv.ENDPOINT_SECONDS)
    """Time after the signal to stop until no Service sends new connections."""
    drain_seconds: Seconds = env("MANYSERVE_DRAIN_SECONDS", default=routerenv.DRAIN_SECONDS)
    """The longest time for running requests after that."""
    log_level: LogLevel = env("MANYSERVE_LOG_LEVEL", default="INFO")

    @property
    def admin_socket(self) -> Path:
        """The socket of Envoy's administration interface."""
        return self.run_dir / "admin.sock"

    @property
    def xds_socket(self) -> Path:
        """The socket of the xDS server."""
        return self.run_dir / "xds.sock"

    @property
    def ports(self) -> Ports:
        """The ports of the endpoints."""
        return Ports(self.server_http_port, self.server_grpc_port, self.activator_http_port, self.activator_grpc_port)

    @property
    def envoy(self) -> EnvoyOptions:
        """The options of Envoy's static configuration."""
        return EnvoyOptions(
            node=self.router,
            http_port=self.http_port,
            grpc_port=self.grpc_port,
            status_port=self.status_port,
            admin_socket=str(self.admin_socket),
            xds_socket=str(self.xds_socket),
            max_request_bytes=self.max_request_bytes,
            address=self.address,
        )
