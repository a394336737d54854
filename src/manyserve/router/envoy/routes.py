"""Route tables of Envoy: a request for a model goes to the clusters of the model's bucket.

Paths are on a list of allowed ones, so the load API of a model server cannot be reached. Nothing that a server may have
begun is sent twice.
"""

from __future__ import annotations

from manyserve.router.buckets import BUCKETS, GRPC, HTTP
from manyserve.router.envoy.inference import LOAD_API, METHODS, SERVICE
from manyserve.router.envoy.types import ADMIN, MODEL_HEADER, Json

MODEL_PATH = r"^/v[12]/models/([^/:?]+).*$"
_NO_LOAD_API = "models are loaded and unloaded by TrainedModels; the load API cannot be reached through the router\n"
_NO_PATH = "the router has the paths /v1/models, /v2/models, /v2/health and /v2\n"
_INTERNAL_HEADERS = [MODEL_HEADER]
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 5,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    "retry_host_predicate": [
        {
            "name": "previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
            },
        }
    ],
    "host_selection_retry_max_attempts": 3,
}


def http_routes() -> Json:
    """Return the routes of the HTTP listener."""
    return _table(
        "http",
        _answer({"path_separated_prefix": "/v2/repository"}, 403, _NO_LOAD_API),
        *(
            {"match": {"prefix": f"/{api}/models/"}, "route": _by_model(HTTP, ":path", MODEL_PATH)}
            for api in ("v1", "v2")
        ),
        *({"match": {"path": path}, "route": _cluster(f"{HTTP}0")} for path in ("/v1/models", "/v2/models", "/v2")),
        {"match": {"path_separated_prefix": "/v2/health"}, "route": _cluster(f"{HTTP}0")},
        _answer({"prefix": "/"}, 404, _NO_PATH),
        internal=_INTERNAL_HEADERS,
    )


def grpc_routes() -> Json:
    """Return the routes of the gRPC listener. The Lua filter has set the header, or has answered itself."""
    by_header = {"name": MODEL_HEADER, "present_match": True}
    return _table(
        "grpc",
        *(
            {
                "match": {"path": f"/{SERVICE}/{method}", "headers": [by_header]},
                "route": _by_model(GRPC, MODEL_HEADER, "^(.*)$"),
            }
            for method in METHODS
        ),
        *(_answer({"path": f"/{SERVICE}/{method}"}, 403, _NO_LOAD_API.strip()) for method in LOAD_API),
        {"match": {"prefix": f"/{SERVICE}/Server"}, "route": _cluster(f"{GRPC}0")},
        _answer({"prefix": "/"}, 404, f"the router has the methods of {SERVICE} about servers and models"),
    )


def status_routes() -> Json:
    """Return the routes of the status listener: only readiness and metrics of the administration interface."""
    paths = ("/ready", "/stats/prometheus")
    return _table("status", *({"match": {"path": path}, "route": {"cluster": ADMIN}} for path in paths))


def _table(name: str, *routes: Json, internal: list[str] | None = None) -> Json:
    removed = {"request_headers_to_remove": internal} if internal else {}
    return {"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": list(routes), **removed}]}


def _answer(match: Json, status: int, text: str) -> Json:
    return {"match": match, "direct_response": {"status": status, "body": {"inline_string": text}}}


def _cluster(name: str) -> Json:
    """Return a route to the activator: without a model, an endpoint of this role is the default of each cluster."""
    return {"cluster": name, "timeout": "0s"}


def _by_model(kind: str, header: str, pattern: str) -> Json:
    return {
        "weighted_clusters": {
            "use_hash_policy": True,
            "clusters": [{"name": f"{kind}{bucket}", "weight": 1} for bucket in range(BUCKETS)],
        },
        "hash_policy": [
            {
                "header": {
                    "header_name": header,
                    "regex_rewrite": {"pattern": {"regex": pattern}, "substitution": r"\1"},
                }
            }
        ],
        "timeout": "0s",
        "retry_policy": _RETRIES,
    }
