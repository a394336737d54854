"""Probes of the server: those of its launch, with the user's laid over them field by field.

Mostly users give timings alone, since loading takes long. A handler of the user's own replaces the launch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manyserve.api.pod import ContainerFields
from manyserve.plan.servers.launch import LaunchSpec

Probe = Mapping[str, Any]

_OUR_HANDLER = "httpGet"
_OTHER_HANDLERS = ("exec", "tcpSocket", "grpc")


def build_probes(launch: LaunchSpec, server: ContainerFields) -> dict[str, Any]:
    """Return the startup, liveness and readiness probes of the server."""
    live = {_OUR_HANDLER: {"path": launch.live, "port": "http"}}
    liveness = live | {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": launch.failure_threshold}
    readiness = {_OUR_HANDLER: {"path": launch.ready, "port": "http"}, "periodSeconds": 2}
    return {
        "startupProbe": _laid_over(live | {"periodSeconds": 1, "failureThreshold": 600}, server.startup_probe),
        "livenessProbe": _laid_over(liveness, server.liveness_probe),
        "readinessProbe": _laid_over(readiness, server.readiness_probe),
    }


def _laid_over(ours: Probe, user: Probe | None) -> dict[str, Any]:
    given = {name: value for name, value in (user or {}).items() if value is not None}
    probe = {**ours, **given}
    if any(name in given for name in _OTHER_HANDLERS):
        return probe if _OUR_HANDLER in given else {name: probe[name] for name in probe if name != _OUR_HANDLER}
    return probe | {_OUR_HANDLER: {**ours[_OUR_HANDLER], **given.get(_OUR_HANDLER, {})}}
