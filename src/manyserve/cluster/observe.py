"""The frozen picture of one host, from what is known. No I/O: nothing is asked of the API server here."""

from __future__ import annotations

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster import surroundings
from manyserve.cluster.state import ClusterState
from manyserve.plan.model_config import entries_at_most
from manyserve.plan.observed import Child, Observed


def size(known: ClusterState, key: Key) -> int:
    """Return the number of models to plan for: those that there are, or that may stand in `models.json`."""
    config_map = known.children.get(key, {}).get(Child("ConfigMap", names.model_config(key.name)))
    return max(len(known.models.get(key, ())), entries_at_most(config_map))


def observe(known: ClusterState, key: Key) -> Observed | None:
    """Return the picture of the host, or None when there can be none and the host is to be left as it is.

    That is so before there is a configuration that can be used, and for a host that does not parse: to take
    it for absent would take its models away. It is so, too, for a namespace out of scope.
    """
    if known.config is None or key in known.unparsable or not known.in_scope(key.namespace):
        return None
    pods = tuple(known.pods.get(key, {}).values())
    uids = (pod["metadata"]["uid"] for pod in pods)
    models = tuple(known.models.get(key, {}).values())
    unmanaged = known.unmanaged.hosts.get(key)
    return Observed(
        key=key,
        config=known.config,
        host=known.hosts.get(key),
        unmanaged=unmanaged,
        announced=unmanaged is not None and unmanaged.uid in known.unmanaged.announced,
        departures=known.departures.of(key, models),
        models=models,
        cache_versions=known.cache_versions(key.namespace),
        unparsable=frozenset((*known.unparsable_models.get(key, ()), *known.unmanaged.models.get(key, ()))),
        children=dict(known.children.get(key, {})),
        pods=pods,
        agents={uid: known.reports[uid] for uid in uids if uid in known.reports},
        failures=dict(known.failures.get(key, {})),
        foreign=known.foreign.get(key, frozenset()),
        account=surroundings.account(known, key),
        claims=surroundings.claims(known, key),
        unverified_claims=surroundings.unverified_claims(known, key),
        lookups_pending=not surroundings.required_lookups(known, key) <= known.lookup_results.keys(),
    )
