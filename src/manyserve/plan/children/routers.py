"""Deployment, PodDisruptionBudget and `pods.json` of the routers of a heterogeneous host.

`pods.json` is a function of the pods alone. It names each running pod, ready or not: a route begins when the agent of
the pod reports a model as loaded. So it changes once when a pod starts, and once when it is deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import TypeAdapter, ValidationError

from manyserve.api import names, routerenv
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.routes import MAX_PODS, Pod
from manyserve.api.servingconfig import ServingConfig
from manyserve.plan.actions import Apply
from manyserve.plan.children.common import belongs_to, child, digest, first_difference, with_hash
from manyserve.plan.children.router_pod import build_router_template
from manyserve.plan.observed import Child, Manifest, Observed
from manyserve.plan.pods import is_ready, shard_of

_LIST = TypeAdapter(tuple[Pod, ...])


def lacks_router_image(host: InferenceService, config: ServingConfig) -> bool:
    """Return whether the host needs routers, and the configuration names no image of them."""
    return host.spec.predictor.is_heterogeneous and not config.router.image


def routers_answer(host: InferenceService, observed: Observed) -> bool:
    """Return whether requests reach the host's pods: by at least one available router, or without routers."""
    if not host.spec.predictor.is_heterogeneous:
        return True
    deployment = observed.child("Deployment", names.router(observed.key.name))
    is_own = deployment is not None and belongs_to(deployment, host)
    return is_own and bool(((deployment or {}).get("status") or {}).get("availableReplicas"))


def build_router_deployment(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the Deployment of the routers; None without their images, and for a homogeneous host."""
    if not host.spec.predictor.is_heterogeneous or lacks_router_image(host, config):
        return None
    name, template = host.metadata.name, build_router_template(host, config)
    spec = {
        "replicas": config.router.replicas,
        "selector": {"matchLabels": names.router_selector(name)},
        "progressDeadlineSeconds": config.deploy.progress_deadline,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": template,
    }
    manifest = child(host, "apps/v1", "Deployment", names.router(name), spec=spec)
    manifest["metadata"]["annotations"] = {names.TEMPLATE_HASH: digest(template)}
    return manifest


def build_router_budget(host: InferenceService, config: ServingConfig) -> Manifest | None:
    """Return the PodDisruptionBudget of the routers. A single one has none, since it would block a node's drain."""
    if not host.spec.predictor.is_heterogeneous or config.router.replicas < 2:
        return None
    name = host.metadata.name
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": names.router_selector(name)}}
    return child(host, "policy/v1", "PodDisruptionBudget", names.router(name), spec=spec)


def pods_json(pods: Iterable[Manifest]) -> str:
    """Return `pods.json` for the pods of all shards, sorted by shard and name.

    Routers refuse a list in which two pods have one address. The ready one of them is kept then, since only a pod of a
    lost node can have an address that another one has got.
    """
    by_address: dict[str, Pod] = {}
    for manifest in sorted(pods, key=lambda each: (not is_ready(each), each["metadata"]["name"])):
        pod = _pod(manifest)
        if pod is not None and len(by_address) < MAX_PODS:
            by_address.setdefault(pod.ip, pod)
    rows = sorted(by_address.values(), key=lambda each: (each.shard, each.name))
    return _LIST.dump_json(tuple(rows)).decode()


def _pod(manifest: Manifest) -> Pod | None:
    """Return the row of a pod; None for one that does not run, is being deleted, or has no valid address."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    if metadata.get("deletionTimestamp") or status.get("phase") != "Running":
        return None
    try:
        return Pod(
            uid=metadata["uid"], name=metadata["name"], ip=status.get("podIP", ""), shard=shard_of(manifest) or 0
        )
    except ValidationError:
        return None


def pods_config_apply(host: InferenceService, observed: Observed, text: str) -> Apply | None:
    """Return the write of the ConfigMap with `pods.json`, if it changes; `text` is the desired list.

    A host that is invalid, or waits for the routers' image, gets none. An existing list is kept up to date, since pods
    may get other addresses.
    """
    if not host.spec.predictor.is_heterogeneous:
        return None
    current = observed.children.get(Child("ConfigMap", names.router(observed.key.name)))
    if current is None and (observed.host_problems or lacks_router_image(host, observed.config)):
        return None
    manifest = with_hash(
        child(host, "v1", "ConfigMap", names.router(observed.key.name), data={routerenv.PODS_KEY: text})
    )
    reason = first_difference(manifest, current)
    if reason is None or (current is not None and not belongs_to(current, host)):
        return None
    return Apply(manifest, reason)
