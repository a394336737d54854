"""The Deployment of a host, and the number of its revision.

A revision is a pod template. The Deployment carries the number and the hash of its template as annotations,
so that the count survives everything but the Deployment's own deletion; then the host's status remembers.
"""

from __future__ import annotations

import re

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.autoscaler import is_autoscaled
from manyserve.plan.children.common import child, digest
from manyserve.plan.children.pod_template import NO_SOURCES, build_pod_template
from manyserve.plan.observed import Manifest
from manyserve.plan.storage.mounts import Sources


def build_deployment(
    service: InferenceService, config: ServingConfig, observed: Manifest | None, sources: Sources = NO_SOURCES
) -> Manifest:
    """Return the Deployment. `replicas` is left to the autoscaler where there is one."""
    host, predictor = service.metadata.name, service.spec.predictor
    template = build_pod_template(service, config, sources)
    template_hash = digest(template)
    replicas = {} if is_autoscaled(service) else {"replicas": predictor.min_replicas or 1}
    manifest = child(
        service,
        "apps/v1",
        "Deployment",
        names.deployment(host),
        spec=replicas
        | {
            "selector": {"matchLabels": names.selector(host)},
            "progressDeadlineSeconds": config.deploy.progress_deadline,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template,
        },
    )
    manifest["metadata"]["annotations"] = {
        names.TEMPLATE_HASH: template_hash,
        names.REVISION: str(_revision(service, observed, template_hash)),
    }
    return manifest


def revision_number(deployment: Manifest) -> int:
    """Return the revision that a Deployment is, 0 when it does not say."""
    text = (deployment["metadata"].get("annotations") or {}).get(names.REVISION, "")
    return _number(text)


def _revision(host: InferenceService, observed: Manifest | None, template_hash: str) -> int:
    last = (revision_number(observed) if observed is not None else 0) or _remembered(host)
    if observed is not None:
        annotations = observed["metadata"].get("annotations") or {}
        if annotations.get(names.TEMPLATE_HASH) == template_hash and last:
            return last
    return last + 1


def _remembered(host: InferenceService) -> int:
    components = host.status.components
    name = components and components.predictor and components.predictor.latest_created_revision
    return _number((name or "").rpartition("-")[2])


def _number(text: str) -> int:
    """Return a revision as somebody wrote it, 0 for what we never wrote."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
