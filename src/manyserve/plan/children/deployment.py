"""Deployment of a host, and its revision number.

A revision is a pod template. Annotations of the Deployment hold the number and the hash of its template. After the
deletion of the Deployment, the count continues from the host's status.
"""

from __future__ import annotations

import re

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import child, digest
from manyserve.plan.children.pod_template import NO_SOURCES, build_pod_template
from manyserve.plan.children.scaling import is_autoscaled
from manyserve.plan.observed import Manifest
from manyserve.plan.storage.mounts import Sources


def build_deployment(
    host: InferenceService, config: ServingConfig, observed: Manifest | None, sources: Sources = NO_SOURCES
) -> Manifest:
    """Return the Deployment, without `replicas` when an autoscaler sets the number."""
    name, predictor = host.metadata.name, host.spec.predictor
    template = build_pod_template(host, config, sources)
    template_hash = digest(template)
    replicas = {} if is_autoscaled(host) else {"replicas": predictor.min_replicas or 1}
    manifest = child(
        host,
        "apps/v1",
        "Deployment",
        names.deployment(name),
        spec=replicas
        | {
            "selector": {"matchLabels": names.selector(name)},
            "progressDeadlineSeconds": config.deploy.progress_deadline,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "template": template,
        },
    )
    manifest["metadata"]["annotations"] = {
        names.TEMPLATE_HASH: template_hash,
        names.REVISION: str(_revision(host, observed, template_hash)),
    }
    return manifest


def revision_number(deployment: Manifest) -> int:
    """Return the revision number of a Deployment, or 0 without a valid annotation."""
    text = (deployment["metadata"].get("annotations") or {}).get(names.REVISION, "")
    return _number(text)


def _revision(host: InferenceService, observed: Manifest | None, template_hash: str) -> int:
    last = (revision_number(observed) if observed is not None else 0) or _revision_in_status(host)
    if observed is not None:
        annotations = observed["metadata"].get("annotations") or {}
        if annotations.get(names.TEMPLATE_HASH) == template_hash and last:
            return last
    return last + 1


def _revision_in_status(host: InferenceService) -> int:
    components = host.status.components
    name = components and components.predictor and components.predictor.latest_created_revision
    return _number((name or "").rpartition("-")[2])


def _number(text: str) -> int:
    """Parse a revision number; a value that the operator never writes counts as 0."""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
