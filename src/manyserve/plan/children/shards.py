"""Deployments of the shards of a heterogeneous host: one pod each, rolled out a few at a time.

All shards have the same pod template but for their label and the ConfigMap of their `models.json`. The template without
these parts gives the revision. A changed template reaches a quarter of the shards at a time. Their new pods must be
rolled out before the next ones begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.children.common import belongs_to, child, digest
from manyserve.plan.children.deployment import is_rolled_out, next_revision
from manyserve.plan.children.pod_template import build_pod_template
from manyserve.plan.children.strategy import build_strategy
from manyserve.plan.children.volumes import MODELS_CONFIG
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.storage.mounts import Sources

PACE = 4
"""Part of the shards that is rolled out at a time: one of so many."""


def build_shards(
    host: InferenceService,
    config: ServingConfig,
    indices: Iterable[int],
    observed: Mapping[int, Manifest],
    sources: Sources,
) -> list[Manifest]:
    """Return the Deployment of each shard, for the observed Deployments by shard."""
    template = build_pod_template(host, config, sources)
    template_hash = digest(template)
    revision = next_revision(host, list(observed.values()), template_hash)
    return [
        _deployment(host, config, index, template, {names.TEMPLATE_HASH: template_hash, names.REVISION: str(revision)})
        for index in indices
    ]


def _deployment(
    host: InferenceService, config: ServingConfig, index: int, template: Manifest, annotations: dict[str, str]
) -> Manifest:
    name = host.metadata.name
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": names.shard_selector(name, index)},
        "progressDeadlineSeconds": config.deploy.progress_deadline + ceil(config.rollout.model_seconds),
        "strategy": build_strategy(host.spec.predictor.deployment_strategy),
        "template": _of_shard(template, name, index),
    }
    manifest = child(host, "apps/v1", "Deployment", names.shard_deployment(name, index), spec=spec)
    manifest["metadata"]["labels"] = manifest["metadata"]["labels"] | {names.SHARD_LABEL: str(index)}
    manifest["metadata"]["annotations"] = annotations
    return manifest


def _of_shard(template: Manifest, host: str, index: int) -> Manifest:
    """Return the template with the label and the ConfigMap of a shard."""
    metadata, spec = template["metadata"], template["spec"]
    volume = {"name": MODELS_CONFIG, "configMap": {"name": names.model_config(host, index)}}
    volumes = [volume if each["name"] == MODELS_CONFIG else each for each in spec["volumes"]]
    labels = metadata["labels"] | {names.SHARD_LABEL: str(index)}
    return {"metadata": metadata | {"labels": labels}, "spec": spec | {"volumes": volumes}}


def build_budget_of_shards(host: InferenceService, shards: int) -> Manifest | None:
    """Return the PodDisruptionBudget over all shards. A single one has none, since it would block a node's drain."""
    if shards < 2:
        return None
    name = host.metadata.name
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.selector(name)}}
    return child(host, "policy/v1", "PodDisruptionBudget", names.disruption_budget(name), spec=spec)


def observed_deployments(host: InferenceService, observed: Observed) -> dict[int, Manifest]:
    """Return the Deployments of the host's shards, by index."""
    found: dict[int, Manifest] = {}
    for each, manifest in observed.children.items():
        if each.kind == "Deployment" and belongs_to(manifest, host):
            index = names.shard_of_deployment(host.metadata.name, each.name)
            if index is not None:
                found[index] = manifest
    return found


def deployment_of(host: InferenceService, observed: Observed) -> Manifest | None:
    """Return the summary of the Deployments of the host's shards, or its one Deployment; None for an earlier host's."""
    shards = observed_deployments(host, observed) if host.spec.predictor.is_heterogeneous else {}
    if shards:
        return summary(shards.values())
    deployment = observed.child("Deployment", names.deployment(observed.key.name))
    return deployment if deployment is not None and belongs_to(deployment, host) else None


def held_back(desired: Iterable[Manifest], observed: Mapping[int, Manifest]) -> set[str]:
    """Return the names of the Deployments that wait with a new template until others are rolled out."""
    pairs = [(each, observed.get(int(each["metadata"]["labels"][names.SHARD_LABEL]))) for each in desired]
    existing = [(new, old) for new, old in pairs if old is not None]
    waiting = [new["metadata"]["name"] for new, old in existing if _template_hash(new) != _template_hash(old)]
    under_way = sum(_template_hash(new) == _template_hash(old) and not is_rolled_out(old, new) for new, old in existing)
    free = max(1, len(existing) // PACE) - under_way
    return set(sorted(waiting)[max(free, 0) :])


def _template_hash(deployment: Manifest) -> Any:
    return (deployment["metadata"].get("annotations") or {}).get(names.TEMPLATE_HASH)


def summary(deployments: Iterable[Manifest]) -> Manifest | None:
    """Return one Deployment with the sums of all, for the conditions of the host; None without any."""
    manifests = list(deployments)
    if not manifests:
        return None
    oldest = min(manifests, key=lambda each: int(_revision(each) or 0))
    counts = {name: sum((each.get("status") or {}).get(name, 0) for each in manifests) for name in _COUNTS}
    return oldest | {
        "spec": (oldest.get("spec") or {}) | {"replicas": sum(_replicas(each) for each in manifests)},
        "status": counts | {"conditions": _conditions(manifests), "observedGeneration": _observed(manifests, oldest)},
    }


_COUNTS = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")


def _revision(deployment: Manifest) -> str | None:
    return (deployment["metadata"].get("annotations") or {}).get(names.REVISION)


def _replicas(deployment: Manifest) -> int:
    return int((deployment.get("spec") or {}).get("replicas", 1))


def _observed(manifests: Iterable[Manifest], oldest: Manifest) -> int:
    """Return the generation of the oldest Deployment if the controller has seen the newest spec of each, else 0."""
    is_seen = all(
        (each.get("status") or {}).get("observedGeneration", 0) >= each["metadata"].get("generation", 0)
        for each in manifests
    )
    return int(oldest["metadata"].get("generation", 0)) if is_seen else 0


def _conditions(manifests: Iterable[Manifest]) -> list[Manifest]:
    """Return `Available` if a shard is available, and the problems of all."""
    conditions = [each for manifest in manifests for each in (manifest.get("status") or {}).get("conditions") or ()]
    available = [each for each in conditions if each["type"] == "Available"]
    others = [each for each in conditions if each["type"] != "Available"]
    return sorted(available, key=lambda each: each["status"] != "True")[:1] + others
