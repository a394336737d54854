"""Condition `RouterReady` of a heterogeneous host. A homogeneous host has none.

The host answers while one router is available. A problem of a further router, or of an update that Envoy refuses, is
the message of a condition that stays True.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from manyserve.api import conditions, names
from manyserve.api.conditions import Condition
from manyserve.api.inferenceservice import HETEROGENEOUS, InferenceService
from manyserve.plan.children.common import belongs_to
from manyserve.plan.children.routers import lacks_router_image, routers_answer
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.status.pod_problem import Problem, pod_problem
from manyserve.plan.status.slow_pod import slow_pod_problem
from manyserve.plan.status.unready_replicas import rollout_problem

ROUTER_NOT_CONFIGURED = "RouterNotConfigured"
ROUTER_NOT_READY = "RouterNotReady"
UPDATES_REFUSED = "RouterUpdatesRefused"


def router_image_problem(host: InferenceService, observed: Observed) -> Problem | None:
    """Return the problem of a host that needs routers while the configuration names no image of them."""
    if not lacks_router_image(host, observed.config):
        return None
    sentence = f"router.image is not in inferenceservice-config; a host with allocation {HETEROGENEOUS} needs it"
    return ROUTER_NOT_CONFIGURED, sentence


def router_ready(host: InferenceService, observed: Observed, now: datetime) -> Condition | None:
    """Return the condition `RouterReady`, or None for a homogeneous host."""
    if not host.spec.predictor.is_heterogeneous:
        return None
    answers = routers_answer(host, observed)
    problem = router_image_problem(host, observed) or _problem(host, observed, now, answers=answers)
    reason, message = problem or (None, None)
    status: conditions.Status = "True" if answers else "False"
    return Condition(type=conditions.ROUTER_READY, status=status, reason=reason, message=message)


def _problem(host: InferenceService, observed: Observed, now: datetime, *, answers: bool) -> Problem | None:
    """Return the first problem of the routers; without any available router there is one."""
    deployment = _deployment(host, observed)
    if answers:
        found = next(_problems_of_pods(observed, deployment, now), None)
        return (ROUTER_NOT_READY, f"{_counted(deployment)}; {found}") if found else _refused(observed)
    if deployment is None:
        return ROUTER_NOT_READY, "the Deployment of the routers does not exist yet"
    found = next(chain(_problems_of_pods(observed, deployment, now), _reported(observed)), None)
    return ROUTER_NOT_READY, f"{_counted(deployment)}; {found}" if found else _counted(deployment)


def _deployment(host: InferenceService, observed: Observed) -> Manifest | None:
    manifest = observed.child("Deployment", names.router(observed.key.name))
    return manifest if manifest is not None and belongs_to(manifest, host) else None


def _counted(deployment: Manifest | None) -> str:
    manifest = deployment or {}
    available = (manifest.get("status") or {}).get("availableReplicas", 0)
    return f"{available} of {(manifest.get('spec') or {}).get('replicas', 1)} routers are ready"


def _problems_of_pods(observed: Observed, deployment: Manifest | None, now: datetime) -> Iterator[str]:
    """Yield the sentences about routers that Kubernetes cannot run."""
    pods = observed.router_pods
    for problem in (pod_problem(pods), slow_pod_problem(pods, now), rollout_problem(deployment or {})):
        if problem is not None:
            yield problem[1]


def _reported(observed: Observed) -> Iterator[str]:
    """Yield the sentences of the programs of routers that are not ready."""
    for router in observed.routers:
        report = router.report
        sentence = report.pods_error or report.problem if report is not None and not router.ready else ""
        if sentence:
            yield f"pod {router.name}: {sentence}"


def _refused(observed: Observed) -> Problem | None:
    """Return the problem of an Envoy that refuses an update, and of a `pods.json` that cannot be used."""
    for router in observed.routers:
        if router.report is not None and router.report.nack:
            sentence = f"Envoy refuses an update, and keeps its last routes: {router.report.nack}"
            return UPDATES_REFUSED, f"router {router.name}: {sentence}"
        if router.report is not None and router.report.pods_error:
            return UPDATES_REFUSED, f"router {router.name}: {router.report.pods_error}"
    return None
