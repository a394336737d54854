"""Deployment of a host, its revision number, and the autoscaler and disruption budget of its replicas.

A revision is a pod template. Annotations of the Deployment hold the number and the hash of its template. After the
deletion of the Deployment, the count continues from the host's status.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import child, digest
from manyserve.plan.children.pod_template import NO_SOURCES, build_pod_template
from manyserve.plan.children.replicas import ScalingMode, least_replicas, replicas_of_deployment, scaling_mode
from manyserve.plan.children.strategy import build_strategy
from manyserve.plan.observed import Manifest
from manyserve.plan.storage.mounts import Sources

_DEFAULT_TARGET = 80
"""Percent of the requested resource."""


def build_deployment(
    host: InferenceService,
    config: ServingConfig,
    observed: Manifest | None,
    sources: Sources = NO_SOURCES,
    autoscalers: Sequence[str] = (),
    decided: int | None = None,
) -> Manifest:
    """Return the Deployment, without `replicas` when the host does not own their number.

    `decided` is the number of replicas by the traffic of the models.
    """
    name, predictor = host.metadata.name, host.spec.predictor
    template = build_pod_template(host, config, sources)
    template_hash = digest(template)
    replicas, record = replicas_of_deployment(host, observed, autoscalers, decided)
    manifest = child(
        host,
        "apps/v1",
        "Deployment",
        names.deployment(name),
        spec=replicas
        | {
            "selector": {"matchLabels": names.selector(name)},
            "progressDeadlineSeconds": config.deploy.progress_deadline + ceil(config.rollout.model_seconds),
            "strategy": build_strategy(predictor.deployment_strategy),
            "template": template,
        },
    )
    manifest["metadata"]["annotations"] = {
        names.TEMPLATE_HASH: template_hash,
        names.REPLICAS: str(record),
        names.REVISION: str(next_revision(host, [] if observed is None else [observed], template_hash)),
    }
    return manifest


def revision_number(deployment: Manifest) -> int:
    """Return the revision number of a Deployment, or 0 without a valid annotation."""
    text = (deployment["metadata"].get("annotations") or {}).get(names.REVISION, "")
    return _number(text)


def next_revision(host: InferenceService, observed: Sequence[Manifest], template_hash: str) -> int:
    """Return the revision number of a template: that of the Deployments that have it already, or the next one."""
    last = max(map(revision_number, observed), default=0) or _revision_in_status(host)
    for each in observed:
        annotations = each["metadata"].get("annotations") or {}
        if annotations.get(names.TEMPLATE_HASH) == template_hash and last and (revision_number(each) or last) == last:
            return last
    return last + 1


def is_rolled_out(deployment: Manifest, desired: Manifest) -> bool:
    """Return whether all replicas have the desired revision and are available."""
    has_replicas = (deployment.get("spec") or {}).get("replicas", 1) != 0
    return revision_number(deployment) == revision_number(desired) and has_replicas and is_settled(deployment)


def is_settled(deployment: Manifest) -> bool:
    """Return whether all replicas have the newest template of the Deployment and are available."""
    status, count = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    is_observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    counts = {status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")}
    return bool(is_observed and counts == {count})


def _revision_in_status(host: InferenceService) -> int:
    components = host.status.components
    name = components and components.predictor and components.predictor.latest_created_revision
    return _number((name or "").rpartition("-")[2])


def _number(text: str) -> int:
    """Parse a revision number; a value that the operator never writes counts as 0."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def build_autoscaler(host: InferenceService, others: Sequence[str] = ()) -> Manifest | None:
    """Return the HorizontalPodAutoscaler, or None in another scaling mode: Kubernetes stops two of one Deployment."""
    if scaling_mode(host, others) != ScalingMode.AUTOSCALED:
        return None
    predictor = host.spec.predictor
    name = names.deployment(host.metadata.name)
    target = {"type": "Utilization", "averageUtilization": predictor.scale_target or _DEFAULT_TARGET}
    return child(
        host,
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        name,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": least_replicas(host),
            "maxReplicas": predictor.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": predictor.scale_metric or "cpu", "target": target}}],
        },
    )


def build_disruption_budget(host: InferenceService) -> Manifest | None:
    """Return the PodDisruptionBudget, by which a node drain evicts the replicas one at a time.

    A single replica has none, since the budget would block the drain.
    """
    if least_replicas(host) < 2:
        return None
    name = host.metadata.name
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(name)}}
    return child(host, "policy/v1", "PodDisruptionBudget", names.deployment(name), spec=spec)
