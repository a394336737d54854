"""The ConfigMap of a host's shard: every placed model, as its agents read it."""

from __future__ import annotations

from manyserve.api import modelconfig, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.plan.objects import belongs_to, child, difference
from manyserve.plan.observed import Manifest
from manyserve.plan.placement import Placement


def build_model_config(service: InferenceService, placement: Placement) -> Manifest:
    """Return the ConfigMap with `models.json`."""
    name = names.model_config(service.metadata.name, placement.shard)
    data = {modelconfig.KEY: modelconfig.dump(placement.placed.values())}
    return child(service, "v1", "ConfigMap", name, data=data)


def current_entries(service: InferenceService, observed: Manifest | None) -> tuple[Entry, ...]:
    """Return what is placed now. An earlier host's ConfigMap, or one that cannot be read, places nothing."""
    if observed is None or not belongs_to(observed, service):
        return ()
    try:
        return modelconfig.parse((observed.get("data") or {}).get(modelconfig.KEY, "[]"))
    except ValueError:
        return ()


def is_written(wanted: Manifest, observed: Manifest | None) -> bool:
    """Tell whether the ConfigMap stands as wanted; a key that somebody added to it is no business of ours."""
    return observed is not None and difference(wanted, observed) is None


def text_of(manifest: Manifest) -> str:
    """Return the `models.json` of a ConfigMap that we built."""
    return str(manifest["data"][modelconfig.KEY])
