"""Names of Envoy's extensions, and the options of the static configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_PREFIX = "type.googleapis.com/envoy"
HTTP_FILTERS = f"{_PREFIX}.extensions.filters.http"
NETWORK_FILTERS = f"{_PREFIX}.extensions.filters.network"
MODEL_HEADER = "x-manyserve-model"
"""Model of a gRPC request, from its first message. A client's own header of this name is removed."""
ADMIN, XDS = "admin", "xds"
"""Clusters of two unix sockets: Envoy's administration, and the router program."""


@dataclass(frozen=True)
class EnvoyOptions:
    """Options of the static configuration. Sockets are in a folder that both containers mount."""

    node: str
    http_port: int
    grpc_port: int
    status_port: int
    admin_socket: str
    xds_socket: str
    max_request_bytes: int
    address: str = "::"
    """Address of the listeners; `::` accepts IPv4, too."""


def typed(name: str, **fields: Any) -> Json:
    """Return an extension's configuration."""
    return {"@type": name, **fields}


def socket_address(address: str, port: int) -> Json:
    """Return the address of a listener."""
    dual = {"ipv4_compat": True} if address == "::" else {}
    return {"socket_address": {"address": address, "port_value": port, **dual}}


def pipe(path: str) -> Json:
    """Return the address of a unix socket."""
    return {"pipe": {"path": path}}
