"""The flags of Triton, from 2.40 (23.11) to 2.73 (26.09): one row for each, in the order of `tritonserver --help`.

docs/compatibility.md has the same table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from manyserve.api import names
from manyserve.plan.servers.flags import HTTP_PORT_VALUE, Flag, FlagTable, Use, ValueKind
from manyserve.plan.servers.launch import MODELS_DIR

HTTP_RESTRICTED = "http-restricted-api"
GRPC_RESTRICTED = "grpc-restricted-protocol"
LOAD_API = "model-repository"
LOCKED = ("shared-memory", "trace", "logging")
"""APIs beside the load API that change the server for all its clients."""
FEWEST_HTTP_THREADS = 8
"""Triton's own default, and more than the loads that an agent leaves unfinished."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_AGENT_ONLY = {LOAD_API: "only the agent uses"}
_PROBED = _AGENT_ONLY | {"health": "the probes use"}


def _restriction_error(kept: dict[str, str], value: str) -> str | None:
    """Refuse a user's key for an API that agent or probes use. Triton has one key for each API."""
    apis = restricted_apis(value)
    if any("$(" in api for api in apis):
        return "takes its APIs from a variable without a known value"
    return next((f"names {api}, which {user}" for api, user in kept.items() if api in apis), None)


def restricted_apis(value: str) -> frozenset[str]:
    """Return the APIs in the value of a restriction, which is `API,...:HEADER=KEY`."""
    return frozenset(api.strip() for api in value.partition(":")[0].split(","))


def _threads_error(value: str) -> str | None:
    is_enough = _NUMBER.fullmatch(value) is not None and int(value) >= FEWEST_HTTP_THREADS
    return None if is_enough else f"is not a number of at least {FEWEST_HTTP_THREADS}"


def _free(kind: ValueKind, *flags: str) -> Iterator[Flag]:
    return (Flag(name, kind) for name in flags)


def _unused(kind: ValueKind, reason: str, *flags: str) -> Iterator[Flag]:
    return (Flag(name, kind, Use.UNUSED, reason) for name in flags)


def _ours(name: str, kind: ValueKind, reason: str, *values: str) -> Flag:
    return Flag(name, kind, Use.OURS, reason, values)


def _bounded(name: str, kind: ValueKind, reason: str, error: partial[str | None] | None = None) -> Flag:
    return Flag(name, kind, Use.BOUNDED, reason, value_error=error or _threads_error)


_HELD = "the agent stores the models there"
_ENDPOINT = "its endpoint loads models without the agent's key"

TRITON_FLAGS = FlagTable(
    program="tritonserver",
    complete=True,
    flags=(
        Flag("help", "none", Use.REFUSED, "the server would print its flags and end"),
        *_free("text", "id"),
        *_free("number", "exit-timeout-secs"),
        *_free("number", "log-verbose"),
        *_free("boolean", "log-info", "log-warning", "log-error"),
        *_free("text", "log-format", "log-file"),
        _ours("model-store", "text", _HELD, MODELS_DIR),  # in another spelling it is a second repository, and Triton
        _ours("model-repository", "text", _HELD, MODELS_DIR),  # loads no model that is in two of them
        _ours("exit-on-error", "boolean", "a server that did not start must be started again", "true"),
        *_free("none", "disable-auto-complete-config"),
        _ours("strict-readiness", "boolean", "one broken model must not take the others out of service", "false"),
        _ours("model-control-mode", "word", "the agent loads and unloads the models", "explicit"),
        _ours("repository-poll-secs", "number", "the server does not poll: the agent loads the models", "0"),
        Flag("load-model", "text", Use.REFUSED, "the agent loads the models, and a TrainedModel declares one"),
        *_free("text", "model-config-name"),
        *_free("number", "model-load-thread-count", "model-load-retry-count"),
        _ours("model-namespacing", "boolean", "models answer at their own names", "false"),
        *_free("boolean", "enable-peer-access"),
        _ours("allow-http", "boolean", "the agent and the probes use HTTP", "true"),
        _ours("http-address", "text", "the agent and the Service connect to it", "0.0.0.0", "::"),  # noqa: S104
        _ours("http-port", "number", "the agent and the Service connect to it", HTTP_PORT_VALUE),
        *_free("boolean", "reuse-http-port"),
        *_free("text", "http-header-forward-pattern"),
        _bounded("http-thread-count", "number", f"at least {FEWEST_HTTP_THREADS}: each load occupies one"),
        *_free("number", "http-max-input-size"),
        _bounded(HTTP_RESTRICTED, "text", "not model-repository and health", partial(_restriction_error, _PROBED)),
        *_free("boolean", "allow-grpc"),
        *_free("text", "grpc-address"),
        _ours("grpc-port", "number", "the Service connects to it", str(names.GRPC_PORT)),
        *_free("boolean", "reuse-grpc-port"),
        *_free("text", "grpc-header-forward-pattern"),
        *_free("number", "grpc-infer-thread-count", "grpc-infer-allocation-pool-size", "grpc-max-response-pool-size"),
        *_free("boolean", "grpc-use-ssl", "grpc-use-ssl-mutual"),
        *_free("text", "grpc-server-cert", "grpc-server-key", "grpc-root-cert"),
        *_free("text", "grpc-infer-response-compression-level"),
        *_free("number", "grpc-keepalive-time", "grpc-keepalive-timeout"),
        *_free("boolean", "grpc-keepalive-permit-without-calls"),
        *_free("number", "grpc-http2-max-pings-without-data"),
        *_free("number", "grpc-http2-min-recv-ping-interval-without-data", "grpc-http2-max-ping-strikes"),
        *_free("number", "grpc-max-connection-age", "grpc-max-connection-age-grace"),
        _bounded(GRPC_RESTRICTED, "text", "not model-repository", partial(_restriction_error, _AGENT_ONLY)),
        _ours("allow-sagemaker", "boolean", _ENDPOINT, "false"),
        *_unused("number", "SageMaker's endpoint is off", "sagemaker-port", "sagemaker-thread-count"),
        *_unused("text", "SageMaker's endpoint is off", "sagemaker-safe-port-range"),
        _ours("allow-vertex-ai", "boolean", _ENDPOINT, "false"),
        *_unused("number", "Vertex AI's endpoint is off", "vertex-ai-port", "vertex-ai-thread-count"),
        *_unused("text", "Vertex AI's endpoint is off", "vertex-ai-default-model"),
        *_free("boolean", "allow-metrics", "allow-gpu-metrics", "allow-cpu-metrics"),
        *_free("text", "metrics-address"),
        _ours("metrics-port", "number", "monitoring connects to it", str(names.METRICS_PORT)),
        *_free("number", "metrics-interval-ms"),
        *_free("text", "metrics-config", "trace-config", "cache-config", "cache-directory", "rate-limit"),
        *_free("text", "rate-limit-resource"),
        *_free("number", "pinned-memory-pool-byte-size"),
        *_free("text", "cuda-memory-pool-byte-size", "cuda-virtual-address-size"),
        *_free("number", "min-supported-compute-capability", "buffer-manager-thread-count"),
        *_free("text", "host-policy", "model-load-gpu-limit"),
        *_free("boolean", "allow-client-shm"),
        *_free("text", "backend-directory", "backend-config", "repoagent-directory"),
        *_free("boolean", "strict-model-config"),
        *_free("number", "response-cache-byte-size"),
        *_free("text", "trace-file", "trace-level"),
        *_free("number", "trace-rate", "trace-count", "trace-log-frequency"),
    ),
)
