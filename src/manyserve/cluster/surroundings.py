"""What of a host's namespace its pods depend on: their ServiceAccount, its secrets, and the models' claims.

`needed` says which of them are to be looked up by name; the rest put together what is known of them.
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
    """Return what must have been looked at before the host's pods can be planned."""
    if host not in known.hosts:
        return frozenset()
    return frozenset((*_claims(known, host), *_secrets(known, host)))


def account(known: ClusterState, host: Key) -> Account | None:
    """Return the host's ServiceAccount, with what its secrets' annotations say laid over its own."""
    found = known.accounts.of(host, known.hosts.get(host))
    if found is None:
        return None
    looked = [known.lookup_results[name] for name in sorted(_secrets(known, host)) if name in known.lookup_results]
    annotations = dict(found.annotations)
    for each in looked:
        annotations |= dict(each.annotations)
    return replace(found, annotations=annotations, problems=tuple(each.why_not for each in looked if each.why_not))


def claims(known: ClusterState, host: Key) -> dict[str, str | None]:
    """Return the claims that were looked at: None where one exists, else why not."""
    return {
        name.key.name: known.lookup_results[name].why_not
        for name in _claims(known, host)
        if name in known.lookup_results
    }


def unverified_claims(known: ClusterState, host: Key) -> frozenset[str]:
    """Return the claims of which nobody can tell whether they exist."""
    looked = ((name, known.lookup_results.get(name)) for name in _claims(known, host))
    return frozenset(name.key.name for name, found in looked if found is not None and found.unverified)


def _claims(known: ClusterState, host: Key) -> set[ObjectRef]:
    return {ObjectRef(CLAIM, Key(host.namespace, each)) for each in known.claims.get(host, {}).values()}


def _secrets(known: ClusterState, host: Key) -> set[ObjectRef]:
    if known.config is None or not known.config.credentials.read_secret_annotations:
        return set()
    found = mounted_secrets(known.accounts.of(host, known.hosts.get(host)))
    return {ObjectRef(SECRET, Key(host.namespace, each)) for each in found}
