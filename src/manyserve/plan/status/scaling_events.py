"""Events about changed numbers of copies, shards and replicas, with their figures.

Those about copies and shards belong to a change of the stored status. Those about replicas belong to a write of the
Deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.plan.actions import Apply, Event
from manyserve.plan.children.replicas import replicas_number
from manyserve.plan.departure import host_uid
from manyserve.plan.memory import most_pods
from manyserve.plan.observed import Child, Observed
from manyserve.plan.sharding.bounds import bounds_of, host_metric, host_scale, metric_of, range_of, scale_of
from manyserve.plan.sharding.scaling import ALL_MODELS, Decision, scaled_sentence
from manyserve.plan.sharding.shard import shard_indices, shard_names
from manyserve.plan.status.shards import limits_of

SCALED_UP, SCALED_DOWN = "ScaledUp", "ScaledDown"
SHARD_ADDED, SHARD_DRAINED = "ShardAdded", "ShardDrained"


def copies_events(
    host: InferenceService,
    models: Iterable[tuple[TrainedModel, TrainedModelStatus]],
    decisions: Mapping[str, Decision],
) -> Iterator[Event]:
    """Yield an event for each model of a heterogeneous host with another number of copies than before."""
    if not host.spec.predictor.is_heterogeneous:
        return
    for model, status in models:
        before, now = model.status.replicas, status.replicas
        if status is model.status or before is None or now is None or before == now or not _was_here(model, host):
            continue
        meta, reason = model.metadata, SCALED_UP if before < now else SCALED_DOWN
        message = _sentence(host, model, before, now, decisions.get(meta.name))
        if not meta.deletion_timestamp and status.shards is not None:
            yield Event("TrainedModel", meta.name, meta.uid, "Normal", reason, message)


def _was_here(model: TrainedModel, host: InferenceService) -> bool:
    """Return whether the stored number is that of copies on this host. A homogeneous host gives no shards."""
    return model.status.shards is not None and host_uid(model) == host.metadata.uid


def _sentence(host: InferenceService, model: TrainedModel, before: int, now: int, decision: Decision | None) -> str:
    """Return the sentence with the traffic, or with the bound that changed the number of copies."""
    scale = scale_of(host, model)
    if decision is not None and decision.copies == now and scale.least <= before <= scale.most:
        return scaled_sentence(before, decision, metric_of(host, model), scale)
    least, most, pods = *range_of(model), most_pods(host)
    limit = f", the host has {pods} pods at most" if most > pods else ""
    return f"{before} to {now} copies: minReplicas is {least}, maxReplicas is {most}{limit}"


def replicas_events(host: InferenceService, applies: Iterable[Apply], observed: Observed) -> Iterator[Event]:
    """Yield the event about replicas of a homogeneous host that its traffic changes."""
    decision = observed.scaling.decisions.get(ALL_MODELS)
    for manifest in (each.manifest for each in applies if each.manifest["kind"] == "Deployment"):
        current = observed.child("Deployment", manifest["metadata"]["name"])
        is_refused = Child("Deployment", manifest["metadata"]["name"]) in observed.failures
        if decision is None or current is None or is_refused:
            continue
        before, now = replicas_number(current), manifest["spec"].get("replicas")
        if before == now or decision.copies != now:
            continue
        meta, reason = host.metadata, SCALED_UP if before < now else SCALED_DOWN
        message = scaled_sentence(before, decision, host_metric(host), host_scale(host), ("replica", "replicas"))
        yield Event("InferenceService", meta.name, meta.uid, "Normal", reason, message)


def shards_events(host: InferenceService, status: InferenceServiceStatus) -> Iterator[Event]:
    """Yield the events about shards that were added to a heterogeneous host, and about those that were removed."""
    if host.status.shards is None or status.shards is None or host.status.shards == status.shards:
        return
    before, after = shard_indices(host.status.shards), shard_indices(status.shards)
    meta, bounds = host.metadata, bounds_of(host)
    figures = f"{len(before)} to {len(after)} pods ({limits_of(bounds)}), memory {status.memory}"
    for reason, changed in ((SHARD_ADDED, after - before), (SHARD_DRAINED, before - after)):
        if changed:
            message = f"{shard_names(changed)}: {figures}"
            yield Event("InferenceService", meta.name, meta.uid, "Normal", reason, message)
