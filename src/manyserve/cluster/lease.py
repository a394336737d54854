"""Lease object of the leader election: read, and written with a precondition.

The resourceVersion decides between two writers: the second one gets `Conflict`. The times in the Lease are for users:
no replica compares them with its own clock. docs/decisions/0011-leader-election-of-our-own.md has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import NotFound
from manyserve.cluster.kinds import LEASE


@dataclass(frozen=True)
class Record:
    """Content of a Lease."""

    holder: str = ""
    """Identity of the leader; empty: the Lease is free."""
    seconds: int = 0
    """Validity after a renewal."""
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    """Number of changes of the holder."""


@dataclass(frozen=True)
class Stored:
    """Lease as the API server has it."""

    record: Record
    version: str


class Lease:
    """One Lease, by name."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    def __str__(self) -> str:
        return f"{self._namespace}/{self._name}"

    async def read(self) -> Stored | None:
        """Return the Lease, or None when it does not exist. Raises `ClusterError`."""
        try:
            return _stored(await self._client.get(LEASE, self._namespace, self._name))
        except NotFound:
            return None

    async def write(self, record: Record, version: str | None) -> Stored:
        """Write the Lease if it has this version, or with None does not exist. Raises `ClusterError`."""
        metadata = {"namespace": self._namespace, "name": self._name}
        manifest: Manifest = {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": metadata}
        manifest["spec"] = _spec(record)
        if version is None:
            return _stored(await self._client.create(LEASE, manifest))
        manifest["metadata"] = metadata | {"resourceVersion": version}
        return _stored(await self._client.replace(LEASE, manifest))


def _stored(manifest: Manifest) -> Stored:
    spec = manifest.get("spec") or {}
    record = Record(
        holder=spec.get("holderIdentity") or "",
        seconds=spec.get("leaseDurationSeconds") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        transitions=spec.get("leaseTransitions") or 0,
    )
    return Stored(record, manifest["metadata"]["resourceVersion"])


def _spec(record: Record) -> dict[str, Any]:
    return {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.seconds,
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }
