"""Cache of ServiceAccounts by name, with the fields that plans need: listed secrets, and annotations about S3.

Clusters have many more of them than hosts have, and change them seldom. A host names its own in
`spec.predictor.serviceAccountName`; the default is `default`, as in Kubernetes.
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
    """All ServiceAccounts."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Account] = {}

    def of(self, key: Key, host: InferenceService | None) -> Account | None:
        """Return the account of a host's pods, or None when it does not exist."""
        return self._by_key.get(account_key(key, host)) if host is not None else None

    def update(self, old: Manifest | None, new: Manifest | None) -> None:
        """Update the cache by a change of an account."""
        if new is not None:
            self._by_key[key_of(new)] = account_of(new)
        elif old is not None:
            self._by_key.pop(key_of(old), None)


def account_key(key: Key, host: InferenceService) -> Key:
    """Return the namespace and name of the ServiceAccount of a host's pods."""
    return Key(key.namespace, host.spec.predictor.service_account_name or DEFAULT)


def hosts_with(account: Key, hosts: Mapping[Key, InferenceService]) -> Iterator[Key]:
    """Yield the hosts that use this account."""
    for key, host in hosts.items():
        if key.namespace == account.namespace and account_key(key, host) == account:
            yield key


def account_of(manifest: Manifest) -> Account:
    """Return the cached fields of a ServiceAccount."""
    return Account(
        name=manifest["metadata"]["name"],
        secrets=tuple(_names(manifest.get("secrets"))),
        pull_secrets=tuple(_names(manifest.get("imagePullSecrets"))),
        annotations=s3_annotations(manifest),
    )


def s3_annotations(manifest: Manifest) -> dict[str, str]:
    """Return the annotations of an object about S3."""
    annotations = manifest["metadata"].get("annotations") or {}
    return {name: value for name, value in annotations.items() if name.startswith(S3_PREFIXES)}


def _names(references: Iterable[Mapping[str, Any]] | None) -> Iterator[str]:
    return (each["name"] for each in references or () if each.get("name"))
