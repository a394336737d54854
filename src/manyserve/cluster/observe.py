"""Snapshot of one host, frozen, from the cluster state. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster.kinds import CLAIM, SECRET
from manyserve.cluster.metadata_poller import ObjectRef
from manyserve.cluster.state import ClusterState
from manyserve.cluster.store import Manifest
from manyserve.plan.model_config import entries_at_most
from manyserve.plan.observed import Account, Child, ClaimRefusal, Observed, Scaling
from manyserve.plan.storage.mounts import mounted_secrets

Report = TypeVar("Report")


def size(state: ClusterState, key: Key) -> int:
    """Return the number of models to plan for: those that there are, or that may stand in `models.json`."""
    config_map = state.children.get(key, {}).get(Child("ConfigMap", names.model_config(key.name)))
    return max(len(state.models.get(key, ())), entries_at_most(config_map))


def observe(state: ClusterState, key: Key) -> Observed | None:
    """Return the snapshot of a host, or None when the host is not to be reconciled.

    That is so without a valid configuration, for a namespace out of scope, and for a host of another operator. It is
    so, too, for a host that does not parse: as an absent one it would lose its models.
    """
    state.written.pop(key, None)
    if state.config is None or key in state.unparsable or not state.in_scope(key.namespace):
        return None
    pods = state.replicas(key)
    routers = state.routers(key)
    models = tuple(state.models.get(key, {}).values())
    if state.others.manage(key, models):
        return None
    unmanaged = state.unmanaged.hosts.get(key)
    return Observed(
        key=key,
        config=state.config,
        host=state.hosts.get(key),
        unmanaged=unmanaged,
        operator=state.others.own,
        announced=unmanaged is not None and unmanaged.uid in state.unmanaged.announced,
        same_hostname=tuple(
            state.hosts[other] for other in state.hostnames.others(key, state.hosts, state.config.ingress)
        ),
        departures=state.departures.of(key, models),
        models=models,
        cache_versions=state.cache_versions(key.namespace),
        unparsable=frozenset((*state.unparsable_models.get(key, ()), *state.unmanaged.models.get(key, ()))),
        children=dict(state.children.get(key, {})),
        pods=pods,
        agents=_of_pods(state.reports, pods),
        scaling=state.scaling.get(key, Scaling()),
        router_pods=routers,
        router_reports=_of_pods(state.router_reports, routers),
        failures=dict(state.failures.get(key, {})),
        autoscalers=tuple(sorted(state.autoscalers.get(key, ()))),
        foreign=state.foreign.get(key, frozenset()),
        account=_account(state, key),
        claims=_claims(state, key),
        refused_claims=_refused_claims(state, key),
        unverified_claims=_unverified_claims(state, key),
        lookups_pending=not required_lookups(state, key) <= state.lookup_results.keys(),
    )


def _of_pods(reports: Mapping[str, Report], pods: Iterable[Manifest]) -> dict[str, Report]:
    """Return the reports of these pods, by uid."""
    uids = (pod["metadata"]["uid"] for pod in pods)
    return {uid: reports[uid] for uid in uids if uid in reports}


def required_lookups(state: ClusterState, host: Key) -> frozenset[ObjectRef]:
    """Return the objects to be looked up before the host's pods can be planned."""
    if host not in state.hosts:
        return frozenset()
    return frozenset((*_claim_refs(state, host), *_secret_refs(state, host)))


def _account(state: ClusterState, host: Key) -> Account | None:
    """Return the host's ServiceAccount; the annotations of its secrets override its own."""
    account = state.accounts.of(host, state.hosts.get(host))
    if account is None:
        return None
    results = [state.lookup_results[name] for name in sorted(_secret_refs(state, host)) if name in state.lookup_results]
    annotations = dict(account.annotations)
    for result in results:
        annotations |= dict(result.annotations)
    problems = tuple(result.problem for result in results if result.problem)
    return replace(account, annotations=annotations, problems=problems)


def _claims(state: ClusterState, host: Key) -> dict[str, str | None]:
    """Return the claims that were looked up: None for an existing one, else the problem."""
    return {
        name.key.name: state.lookup_results[name].problem
        for name in _claim_refs(state, host)
        if name in state.lookup_results
    }


def _refused_claims(state: ClusterState, host: Key) -> dict[str, ClaimRefusal]:
    """Return the refusals of the claims that were looked up."""
    results = ((name.key.name, state.lookup_results.get(name)) for name in _claim_refs(state, host))
    return {name: result.refusal for name, result in results if result is not None and result.refusal is not None}


def _unverified_claims(state: ClusterState, host: Key) -> frozenset[str]:
    """Return the claims for which lookups are forbidden, so that they may exist."""
    results = ((name, state.lookup_results.get(name)) for name in _claim_refs(state, host))
    return frozenset(name.key.name for name, result in results if result is not None and result.unverified)


def _claim_refs(state: ClusterState, host: Key) -> set[ObjectRef]:
    return {ObjectRef(CLAIM, Key(host.namespace, name)) for name in state.claims.get(host, {}).values()}


def _secret_refs(state: ClusterState, host: Key) -> set[ObjectRef]:
    if state.config is None or not state.config.credentials.read_secret_annotations:
        return set()
    names = mounted_secrets(state.accounts.of(host, state.hosts.get(host)))
    return {ObjectRef(SECRET, Key(host.namespace, name)) for name in names}
