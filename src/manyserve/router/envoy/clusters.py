"""Clusters of Envoy: two for each bucket, and those of the two unix sockets.

An endpoint lists its models as metadata, and a request goes to the subset of its model. Without an endpoint it goes to
the subset of the activator. All limits of Envoy are out of the way: the model server and the client have theirs.
"""

from __future__ import annotations

from manyserve.router.buckets import GRPC, RESOURCES
from manyserve.router.envoy.types import ADMIN, XDS, EnvoyOptions, Json, pipe, typed

MODEL_KEY, ROLE_KEY, ACTIVATOR = "model", "role", "activator"
"""Keys of the endpoints' metadata, and the role of the activator."""
METADATA = "envoy.lb"
_PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_IDLE = "3s"
"""Shorter than the 5 s after which servers on uvicorn close an idle connection."""
_MANY = 100_000
_CONNECT = "1s"


def clusters(options: EnvoyOptions) -> list[Json]:
    """Return all clusters."""
    eds = [_bucket_cluster(name, options.max_request_bytes) for name in RESOURCES]
    return [*eds, _socket_cluster(ADMIN, options.admin_socket), _socket_cluster(XDS, options.xds_socket, h2=True)]


def _bucket_cluster(name: str, window: int) -> Json:
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": _CONNECT,
        "lb_policy": "LEAST_REQUEST",
        # 0s: a start without an xDS server keeps the ports closed, instead of answering 503 after 15 s
        "eds_cluster_config": {
            "eds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
        },
        "lb_subset_config": {
            "fallback_policy": "DEFAULT_SUBSET",
            "default_subset": {ROLE_KEY: ACTIVATOR},
            "list_as_any": True,
            "subset_selectors": [{"keys": [MODEL_KEY]}],
        },
        "circuit_breakers": {"thresholds": [_wide("DEFAULT"), _wide("HIGH")]},
        "per_connection_buffer_limit_bytes": window,
        "typed_extension_protocol_options": {_PROTOCOL: _h2(window) if name[0] == GRPC else _h1()},
    }


def _wide(priority: str) -> Json:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"priority": priority, **dict.fromkeys(limits, _MANY)}


def _h1() -> Json:
    return typed(
        f"type.googleapis.com/{_PROTOCOL}",
        explicit_http_config={"http_protocol_options": {}},
        common_http_protocol_options={"idle_timeout": _IDLE},
    )


def _h2(window: int | None = None) -> Json:
    sizes = {"initial_stream_window_size": window, "initial_connection_window_size": window} if window else {}
    return typed(f"type.googleapis.com/{_PROTOCOL}", explicit_http_config={"http2_protocol_options": sizes})


def _socket_cluster(name: str, path: str, *, h2: bool = False) -> Json:
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _CONNECT,
        **({"typed_extension_protocol_options": {_PROTOCOL: _h2()}} if h2 else {}),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": pipe(path)}}]}],
        },
    }
