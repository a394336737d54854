"""Pod template of a host's routers: Envoy, the program that configures it, and an init container.

The init container writes Envoy's static configuration into a volume that all three mount, so both always fit together.
The sockets are in this volume, too. A frozen program misroutes after 20 s, so its liveness probe replaces it within 7 s
(docs/decisions/0015-router.md). At the end the program outlives its Envoy: it drains Envoy, and then ends it.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from manyserve.api import names, routerenv
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.quantity import parse_memory
from manyserve.api.routerconfig import RouterConfig
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.pod_template import pod_security, pull_secrets
from manyserve.plan.children.server_container import LAST_MESSAGE, STRICT
from manyserve.plan.host_metadata import with_host_metadata
from manyserve.plan.servers.ports import http_port

RUN, PODS, TMP = "run", "pods", "tmp"
RUN_DIR = "/run/manyserve"
PODS_DIR = "/mnt/router"
ENVOY_CONFIG = f"{RUN_DIR}/envoy.json"
INIT_CONTAINER = "envoy-config"
END_SECONDS = 10
"""Seconds for the end of Envoy and of the program after the last request."""
GRACE_SECONDS = ceil(routerenv.ENDPOINT_SECONDS + routerenv.DRAIN_SECONDS) + END_SECONDS
_COPIED = ("nodeSelector", "priorityClassName", "tolerations")
"""Fields of the predictor that the routers' pods have, too: they decide whether and where pods may run."""
_RUN_MOUNT = {"name": RUN, "mountPath": RUN_DIR}


def build_router_template(host: InferenceService, serving: ServingConfig) -> dict[str, Any]:
    """Return the pod template of the routers."""
    name, config = host.metadata.name, serving.router
    given = host.spec.predictor.to_wire()
    env, pull = _env(host, config), {"imagePullPolicy": config.image_pull_policy} if config.image_pull_policy else {}
    security = {"securityContext": STRICT | serving.hosts.agent_security_context}
    program = LAST_MESSAGE | pull | security | {"image": config.image, "env": env}
    spec = {key: given[key] for key in _COPIED if key in given} | {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": pod_security(serving),
        **pull_secrets(given, serving),
        "affinity": _apart(name),
        "initContainers": [program | _init_container(config)],
        "containers": [LAST_MESSAGE | pull | security | _envoy(config), program | _program(config)],
        "volumes": [
            {"name": RUN, "emptyDir": {}},
            {"name": PODS, "configMap": {"name": names.router(name)}},
            {"name": TMP, "emptyDir": {}},
        ],
    }
    metadata = {"labels": names.labels(name) | names.router_selector(name)}
    return {"metadata": with_host_metadata(metadata, host), "spec": spec}


def _env(host: InferenceService, config: RouterConfig) -> list[dict[str, Any]]:
    values = {
        routerenv.PODS_FILE: f"{PODS_DIR}/{routerenv.PODS_KEY}",
        routerenv.RUN_DIR: RUN_DIR,
        routerenv.SERVER_HTTP_PORT: str(http_port(host)),
        routerenv.MAX_REQUEST_BYTES: str(parse_memory(config.max_request_bytes)),
    }
    uid = {"name": routerenv.ROUTER_ID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [uid, *({"name": name, "value": value} for name, value in values.items())]


def _apart(host: str) -> dict[str, Any]:
    """Return the affinity by which routers prefer different nodes."""
    term = {
        "labelSelector": {"matchLabels": names.router_selector(host)},
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _init_container(config: RouterConfig) -> dict[str, Any]:
    return {
        "name": INIT_CONTAINER,
        "args": ["router", "--envoy-config", ENVOY_CONFIG],
        "resources": _program_resources(config),
        "volumeMounts": [_RUN_MOUNT, _tmp_mount()],
    }


def _envoy(config: RouterConfig) -> dict[str, Any]:
    """Return the container of Envoy. Its hook before the stop waits until it has no more requests."""
    ports = (("http", names.HTTP_PORT), ("grpc", names.GRPC_PORT), ("envoy-status", routerenv.ENVOY_STATUS_PORT))
    return {
        "name": names.ENVOY_CONTAINER,
        "image": config.envoy_image,
        "args": ["-c", ENVOY_CONFIG, "--concurrency", str(config.concurrency), "--disable-hot-restart"],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "readinessProbe": _probe("/ready", "envoy-status") | {"periodSeconds": 2, "timeoutSeconds": 2},
        "lifecycle": {"preStop": {"httpGet": {"path": "/drain", "port": routerenv.ROUTER_PORT}}},
        "resources": _resources(config.cpu_request, config.memory_request, config.cpu_limit, config.memory_limit),
        "volumeMounts": [_RUN_MOUNT, _tmp_mount()],
    }


def _program(config: RouterConfig) -> dict[str, Any]:
    liveness = {"periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 3, "terminationGracePeriodSeconds": 1}
    return {
        "name": names.ROUTER_CONTAINER,
        "args": ["router"],
        "ports": [{"name": "router", "containerPort": routerenv.ROUTER_PORT, "protocol": "TCP"}],
        "readinessProbe": _probe("/readyz", "router") | {"periodSeconds": 2, "timeoutSeconds": 2},
        "livenessProbe": _probe("/healthz", "router") | liveness,
        "startupProbe": _probe("/healthz", "router") | {"periodSeconds": 1, "failureThreshold": 60},
        "resources": _program_resources(config),
        "volumeMounts": [_RUN_MOUNT, {"name": PODS, "mountPath": PODS_DIR, "readOnly": True}, _tmp_mount()],
    }


def _probe(path: str, port: str) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}}


def _tmp_mount() -> dict[str, Any]:
    return {"name": TMP, "mountPath": "/tmp"}  # noqa: S108 - the containers' own, an emptyDir


def _program_resources(config: RouterConfig) -> dict[str, Any]:
    return _resources(
        config.program_cpu_request,
        config.program_memory_request,
        config.program_cpu_limit,
        config.program_memory_limit,
    )


def _resources(cpu: Any, memory: Any, cpu_limit: Any, memory_limit: Any) -> dict[str, Any]:
    return {"limits": {"cpu": cpu_limit, "memory": memory_limit}, "requests": {"cpu": cpu, "memory": memory}}
