"""ServiceAccounts by name, kept to what the plan asks of them: the secrets they list, and annotations about S3.

Clusters have many more of them than hosts have, and change them seldom. A host names its own in
`spec.predictor.serviceAccountName`; the one called `default` otherwise, as Kubernetes has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.cluster.store import Manifest, key_of
from manyserve.plan.observed import S3_PREFIXES, Account

DEFAULT = "default"


class Accounts:
    """Every ServiceAccount."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Account] = {}

    def of(self, host: Key, service: InferenceService | None) -> Account | None:
        """Return the account of a host's pods, None when it does not exist."""
        return self._by_key.get(account_key(host, service)) if service is not None else None

    def stored(self, old: Manifest | None, new: Manifest | None) -> None:
        """Take in a change of an account."""
        if new is not None:
            self._by_key[key_of(new)] = account_of(new)
        elif old is not None:
            self._by_key.pop(key_of(old), None)


def account_key(host: Key, service: InferenceService) -> Key:
    """Return which ServiceAccount the pods of a host have."""
    return Key(host.namespace, service.spec.predictor.service_account_name or DEFAULT)


def hosts_with(account: Key, hosts: Mapping[Key, InferenceService]) -> Iterator[Key]:
    """Yield the hosts whose pods have this account."""
    for host, service in hosts.items():
        if host.namespace == account.namespace and account_key(host, service) == account:
            yield host


def account_of(manifest: Manifest) -> Account:
    """Return what is kept of a ServiceAccount."""
    return Account(
        name=manifest["metadata"]["name"],
        secrets=tuple(_names(manifest.get("secrets"))),
        pull_secrets=tuple(_names(manifest.get("imagePullSecrets"))),
        annotations=s3_annotations(manifest),
    )


def s3_annotations(manifest: Manifest) -> dict[str, str]:
    """Return the annotations of an object that say where S3 is."""
    found = manifest["metadata"].get("annotations") or {}
    return {name: value for name, value in found.items() if name.startswith(S3_PREFIXES)}


def _names(references: Iterable[Mapping[str, Any]] | None) -> Iterator[str]:
    return (each["name"] for each in references or () if each.get("name"))
