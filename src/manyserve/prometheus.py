"""Prometheus registries of all programs: process metrics, build info, and no `_created` series."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Info, ProcessCollector, disable_created_metrics, generate_latest

from manyserve import version

_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # type: ignore[no-untyped-call]


def new_registry() -> CollectorRegistry:
    """Return a registry with the metrics of all programs."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    add_build_info(registry)
    return registry


def add_build_info(registry: CollectorRegistry) -> None:
    """Register `manyserve_build_info`."""
    Info("manyserve_build", "Version of the running program.", registry=registry).info({"version": version()})


def metrics_response(registry: CollectorRegistry) -> web.Response:
    """Return the metrics in Prometheus' text format."""
    return web.Response(body=generate_latest(registry), headers={"Content-Type": _CONTENT_TYPE})
