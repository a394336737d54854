"""Snapshot of one host, frozen, from the cluster state. No I/O."""

from __future__ import annotations

from manyserve.api.names import Key
from manyserve.cluster import surroundings
from manyserve.cluster.state import ClusterState
from manyserve.plan.observed import Observed


def observe(known: ClusterState, key: Key) -> Observed | None:
    """Return the snapshot of a host, or None when the host is not to be reconciled.

    That is so without a valid configuration, and for a namespace out of scope. It is so, too, for a host that does not
    parse: as an absent one it would lose its models.
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
        generation_changed_at=known.renewed.of(key),
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
