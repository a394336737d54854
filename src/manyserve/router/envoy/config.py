"""Static configuration of Envoy: three listeners, the clusters, and delta ADS on a unix socket.

Only the endpoints of the clusters are dynamic. The administration interface is on a unix socket, since it can stop
Envoy. The status listener forwards two of its paths.
"""

from __future__ import annotations

import base64
from importlib import resources

from manyserve.router.envoy.clusters import METADATA, MODEL_KEY, clusters
from manyserve.router.envoy.inference import descriptor_set, extractions
from manyserve.router.envoy.routes import MODEL_PATH, grpc_routes, http_routes, status_routes
from manyserve.router.envoy.types import (
    HTTP_FILTERS,
    NETWORK_FILTERS,
    XDS,
    EnvoyOptions,
    Json,
    pipe,
    socket_address,
    typed,
)

_BACK_OFF = {"base_interval": "0.1s", "max_interval": "1s"}
"""Seconds until a router program that was restarted is found; by default up to 30."""
_HEADERS_TIMEOUT = "10s"


def envoy_config(options: EnvoyOptions) -> Json:
    """Return the configuration as JSON."""
    limit = options.max_request_bytes
    http = _manager("http", _http_filters(limit), http_routes(), limit)
    grpc = _manager("grpc", _grpc_filters(), grpc_routes(), limit)
    return {
        "node": {"id": options.node, "cluster": "router"},
        "admin": {"address": pipe(options.admin_socket)},
        "static_resources": {
            "listeners": [
                _listener("http", options.address, options.http_port, http, limit),
                _listener("grpc", options.address, options.grpc_port, grpc, limit),
                _listener("status", options.address, options.status_port, _status_manager()),
            ],
            "clusters": clusters(options),
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {"envoy_grpc": {"cluster_name": XDS, "retry_policy": {"retry_back_off": _BACK_OFF}}},
                ],
            }
        },
    }


def _listener(name: str, address: str, port: int, manager: Json, limit: int | None = None) -> Json:
    return {
        "name": name,
        "address": socket_address(address, port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        **({"per_connection_buffer_limit_bytes": limit} if limit else {}),
    }


def _manager(name: str, filters: list[Json], routes: Json, window: int) -> Json:
    """Return the connection manager of a listener for clients."""
    return typed(
        f"{NETWORK_FILTERS}.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="AUTO",
        route_config=routes,
        http_filters=filters,
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        # no client counts as internal, so Envoy removes each header that would change retries, timeouts or routes
        use_remote_address=True,
        skip_xff_append=True,
        internal_address_config={"cidr_ranges": [{"address_prefix": "0.0.0.0", "prefix_len": 32}]},  # noqa: S104
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        stream_idle_timeout="0s",
        request_headers_timeout=_HEADERS_TIMEOUT,
        http2_protocol_options={"initial_stream_window_size": window, "initial_connection_window_size": window},
    )


def _status_manager() -> Json:
    return typed(
        f"{NETWORK_FILTERS}.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="status",
        route_config=status_routes(),
        http_filters=[_router()],
    )


def _http_filters(limit: int) -> list[Json]:
    """Return the filters of HTTP requests: the limit of the body, and the model from the path."""
    model = {
        "header": ":path",
        "on_header_present": {
            "metadata_namespace": METADATA,
            "key": MODEL_KEY,
            "type": "STRING",
            "regex_value_rewrite": {"pattern": {"regex": MODEL_PATH}, "substitution": r"\1"},
        },
    }
    return [
        _filter("buffer", "buffer.v3.Buffer", max_request_bytes=limit),
        _filter("header_to_metadata", "header_to_metadata.v3.Config", request_rules=[model]),
        _router(),
    ]


def _grpc_filters() -> list[Json]:
    """Return the filters of gRPC requests: the model from the first message."""
    lua = resources.files(__package__).joinpath("model.lua").read_text()
    descriptors = base64.b64encode(descriptor_set()).decode()
    return [
        _filter(
            "grpc_field_extraction",
            "grpc_field_extraction.v3.GrpcFieldExtractionConfig",
            descriptor_set={"inline_bytes": descriptors},
            extractions_by_method=extractions(),
        ),
        _filter("lua", "lua.v3.Lua", default_source_code={"inline_string": lua}),
        _router(),
    ]


def _router() -> Json:
    return _filter("router", "router.v3.Router", suppress_envoy_headers=True)


def _filter(name: str, config: str, **fields: object) -> Json:
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed(f"{HTTP_FILTERS}.{config}", **fields)}
