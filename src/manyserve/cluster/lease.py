"""The Lease by which replicas agree on the one that works: read, and written only as it was read.

The resourceVersion lets one of two writers win; the other gets `Conflict`. The times in it are for people:
no replica compares them with its own clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import NotFound
from manyserve.cluster.kinds import LEASE


@dataclass(frozen=True)
class Record:
    """What a Lease says."""

    holder: str = ""
    """Who works; empty: nobody, and whoever comes first may."""
    seconds: int = 0
    """How long it holds after a renewal."""
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0
    """How often it went to another holder."""


@dataclass(frozen=True)
class Stored:
    """A Lease as the API server has it."""

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
        """Return the Lease, or None when there is none. Raises `ClusterError`."""
        try:
            return _stored(await self._client.get(LEASE, self._namespace, self._name))
        except NotFound:
            return None

    async def write(self, record: Record, version: str | None) -> Stored:
        """Write the Lease if it still has this version, or is still not there. Raises `ClusterError`."""
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
