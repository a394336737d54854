"""Routers of a heterogeneous host: their pods with their reports, and the models that they lead.

A router leads a model when its Envoy has acknowledged an endpoint of it. Only a ready router counts, by its pod and by
its report: the Service sends no request to another one, and a program that has just started does not know its models.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce

from manyserve.api.routerreport import RouterReport
from manyserve.plan.pods import is_ready
from manyserve.plan.true_replicas import Manifest


@dataclass(frozen=True)
class Router:
    """One pod of the routers with its report, if the program can be reached."""

    name: str
    uid: str
    ready: bool
    running: bool
    annotations: Mapping[str, str]
    report: RouterReport | None

    @property
    def config(self) -> str | None:
        """Hash of the `pods.json` in force; None when it is unknown, or another one cannot be read."""
        return None if self.report is None or self.report.pods_error else self.report.pods

    @property
    def leads(self) -> bool:
        """Whether the router takes requests, and has reported its models."""
        return self.ready and self.report is not None and self.report.ready


def routers_of(pods: Iterable[Manifest], reports: Mapping[str, RouterReport]) -> tuple[Router, ...]:
    """Return the routers with pods that are not being deleted, sorted by name; reports are by the uid of their pod."""
    remaining = (pod for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    return tuple(sorted((_router(pod, reports) for pod in remaining), key=lambda router: router.name))


def led_by_all(routers: Iterable[Router]) -> frozenset[str]:
    """Return the models that each ready router leads; none without a ready router."""
    models = [router.report.models for router in routers if router.leads and router.report]
    return reduce(frozenset.intersection, models) if models else frozenset()


def _router(pod: Manifest, reports: Mapping[str, RouterReport]) -> Router:
    metadata = pod["metadata"]
    return Router(
        name=metadata["name"],
        uid=metadata["uid"],
        ready=is_ready(pod),
        running=(pod.get("status") or {}).get("phase") == "Running",
        annotations=metadata.get("annotations") or {},
        report=reports.get(metadata["uid"]),
    )
