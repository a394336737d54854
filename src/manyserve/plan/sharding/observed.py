"""Shards of a snapshot, from the ConfigMaps of a host and the reports of its agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.plan.children.common import belongs_to
from manyserve.plan.model_config import EMPTY_LIST, current_text
from manyserve.plan.model_config_cache import MODEL_CONFIG_CACHE
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.pods import Replica, not_unloaded
from manyserve.plan.sharding.shard import Shard

_SHARD_OF = {"ConfigMap": names.shard_of_model_config, "Deployment": names.shard_of_deployment}


@dataclass(frozen=True)
class StoredShard:
    """A shard with its stored `models.json`."""

    index: int
    config_map: Manifest | None
    text: str
    """The stored `models.json`."""
    replicas: tuple[Replica, ...]
    shard: Shard

    def is_foreign(self, host: InferenceService) -> bool:
        """Return whether the ConfigMap belongs to an earlier host of this name."""
        return self.config_map is not None and not belongs_to(self.config_map, host)


def empty_shard(index: int) -> StoredShard:
    """Return a shard that does not exist yet."""
    return StoredShard(index, None, EMPTY_LIST, (), Shard())


def stored_shards(host: InferenceService, observed: Observed) -> dict[int, StoredShard]:
    """Return the shards by index; a host has shard 0, whether its ConfigMap exists or not, unless it has others."""
    indices = set(_indices(host, observed)) if host.spec.predictor.is_heterogeneous else set()
    return {index: _stored(host, observed, index) for index in sorted(indices or {0})}


def _stored(host: InferenceService, observed: Observed, index: int) -> StoredShard:
    config_map = observed.child("ConfigMap", names.model_config(host.metadata.name, index))
    text = current_text(host, config_map)
    is_whole = not host.spec.predictor.is_heterogeneous
    replicas = tuple(each for each in observed.replicas if is_whole or each.shard == index)
    entries = {entry.model_name: entry for entry in MODEL_CONFIG_CACHE.entries(text)}
    routed = frozenset() if is_whole else _routed(entries, replicas)
    load = observed.scaling.loads.get(index, 0)
    return StoredShard(index, config_map, text, replicas, Shard(entries, routed, load, not_unloaded(replicas).keys()))


def _routed(entries: Mapping[str, Entry], replicas: Sequence[Replica]) -> frozenset[str]:
    return frozenset(name for name, entry in entries.items() if _is_routed(name, entry, replicas))


def _is_routed(name: str, entry: Entry, replicas: Sequence[Replica]) -> bool:
    reports = (each.loaded(name, entry.digest) for each in replicas if each.ready)
    return any(report is not None and bool(report.routed) for report in reports)


def _indices(host: InferenceService, observed: Observed) -> Iterator[int]:
    """Yield the indices of the host's own ConfigMaps and Deployments."""
    for child, manifest in observed.children.items():
        if not belongs_to(manifest, host):
            continue
        of_name = _SHARD_OF.get(child.kind)
        index = of_name(host.metadata.name, child.name) if of_name else None
        if index is not None:
            yield index
