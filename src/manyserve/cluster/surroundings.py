"""Dependencies of a host's pods in its namespace: the ServiceAccount, its secrets, and the models' claims.

`required_lookups` returns those to be looked up by name; the other functions combine the results.
"""

from __future__ import annotations

from dataclasses import replace

from manyserve.api.names import Key
from manyserve.cluster.kinds import CLAIM, SECRET
from manyserve.cluster.metadata_poller import ObjectRef
from manyserve.cluster.state import ClusterState
from manyserve.plan.observed import Account
from manyserve.plan.storage.secrets import mounted_secrets


def required_lookups(known: ClusterState, host: Key) -> frozenset[ObjectRef]:
    """Return the objects to be looked up before the host's pods can be planned."""
    if host not in known.hosts:
        return frozenset()
    return frozenset((*_claims(known, host), *_secrets(known, host)))


def account(known: ClusterState, host: Key) -> Account | None:
    """Return the host's ServiceAccount; the annotations of its secrets override its own."""
    account = known.accounts.of(host, known.hosts.get(host))
    if account is None:
        return None
    results = [known.lookup_results[name] for name in sorted(_secrets(known, host)) if name in known.lookup_results]
    annotations = dict(account.annotations)
    for result in results:
        annotations |= dict(result.annotations)
    problems = tuple(result.problem for result in results if result.problem)
    return replace(account, annotations=annotations, problems=problems)


def claims(known: ClusterState, host: Key) -> dict[str, str | None]:
    """Return the claims that were looked up: None for an existing one, else the problem."""
    return {
        name.key.name: known.lookup_results[name].problem
        for name in _claims(known, host)
        if name in known.lookup_results
    }


def unverified_claims(known: ClusterState, host: Key) -> frozenset[str]:
    """Return the claims for which lookups are forbidden, so that they may exist."""
    results = ((name, known.lookup_results.get(name)) for name in _claims(known, host))
    return frozenset(name.key.name for name, result in results if result is not None and result.unverified)


def _claims(known: ClusterState, host: Key) -> set[ObjectRef]:
    return {ObjectRef(CLAIM, Key(host.namespace, name)) for name in known.claims.get(host, {}).values()}


def _secrets(known: ClusterState, host: Key) -> set[ObjectRef]:
    if known.config is None or not known.config.credentials.read_secret_annotations:
        return set()
    names = mounted_secrets(known.accounts.of(host, known.hosts.get(host)))
    return {ObjectRef(SECRET, Key(host.namespace, name)) for name in names}
