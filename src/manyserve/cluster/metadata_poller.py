"""Poller of single objects by name: claims of models, and secrets with annotations about S3.

A watch would need the right to list all objects of a kind, and so all secrets of a cluster. Each object that a host
needs is polled when a host first names it, and then periodically: missing ones more often, since a user may be about
to create them. Of a Secret only the metadata is requested. A failed lookup keeps the last result and is repeated. A
host keeps its Deployment until all its names have been looked up. A right that is taken away changes nothing in the
pods either. The rate of repeated lookups is at most `MAX_LOOKUPS_PER_SECOND`, for any number of names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient, Manifest
from manyserve.cluster.errors import ClusterError, Forbidden, NotFound
from manyserve.cluster.kinds import CLAIM, Kind
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.service_accounts import s3_annotations
from manyserve.plan.observed import ClaimRefusal
from manyserve.plan.storage.claims import claim_refusal

MAX_LOOKUPS_PER_SECOND = 20

_log = logging.getLogger(__name__)


class ObjectRef(NamedTuple):
    """Kind, namespace and name of an object."""

    kind: Kind
    key: Key


@dataclass(frozen=True)
class LookupResult:
    """Result of a lookup: annotations about S3, or the problem in a sentence."""

    annotations: tuple[tuple[str, str], ...] = ()
    problem: str | None = None
    refusal: ClaimRefusal | None = None
    """Of a claim: why it is not mounted for new models."""
    unverified: bool = False
    """Lookups are forbidden, so the object may exist. The annotations are those of the last successful lookup."""


@dataclass(frozen=True)
class LookupIntervals:
    """Seconds until the next lookup of an object, by the result of the last one."""

    present: float = 60.0
    missing: float = 3.0
    failed: float = 2.0


class MetadataPoller:
    """Keeps `results` up to date while `run` runs.

    Parameters
    ----------
    enqueue
        Called with each host for which a lookup has a new result.
    """

    def __init__(
        self,
        client: KubeClient,
        results: dict[ObjectRef, LookupResult],
        enqueue: Callable[[Key], None],
        intervals: LookupIntervals | None = None,
    ) -> None:
        self._client = client
        self._results = results
        self._enqueue = enqueue
        self._intervals = intervals or LookupIntervals()
        self._required: dict[Key, frozenset[ObjectRef]] = {}
        self._due: dict[ObjectRef, float] = {}
        self._changed = asyncio.Event()
        self._limiter = Limiter()

    def set_required(self, host: Key, names: frozenset[ObjectRef]) -> None:
        """Set the names that a host needs now. Names that no host needs any more are dropped."""
        if self._required.get(host, frozenset()) == names:
            return
        self._required[host] = names
        if not names:
            del self._required[host]
        needed = frozenset().union(*self._required.values())
        for name in self._due.keys() - needed:
            self._results.pop(name, None)
            del self._due[name]
        self._due |= dict.fromkeys(needed - self._due.keys(), 0.0)
        self._changed.set()

    async def run(self) -> None:
        """Look up all names that are due, until cancelled."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            await self._limiter.run([partial(self._lookup, name) for name, due in self._due.items() if due <= now])
            left = min(self._due.values(), default=now + self._intervals.present) - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0.05)):  # before Python 3.12 `wait_for` may lose a cancellation
                    await self._changed.wait()

    async def _lookup(self, name: ObjectRef) -> None:
        pause = self._intervals.present
        result: LookupResult | None
        try:
            result = _result_of(name, await self._get(name))
            pause = self._intervals.missing if result.refusal is not None else pause
        except NotFound:
            result = LookupResult(
                problem=f"{name.kind.name} {name.key.name} does not exist in namespace {name.key.namespace}"
            )
            pause = self._intervals.missing
        except Forbidden as error:
            problem = f"{name.kind.name} {name.key.name} cannot be read: {error}"
            result = LookupResult(self._results.get(name, LookupResult()).annotations, problem, unverified=True)
        except ClusterError as error:
            _log.warning("lookup of %s %s failed: %s", name.kind.name, name.key, error)
            result, pause = self._results.get(name), self._intervals.failed
        if name in self._due:  # else no host needs it any more
            self._due[name] = time.monotonic() + max(pause, len(self._due) / MAX_LOOKUPS_PER_SECOND)
            self._store(name, result)

    async def _get(self, name: ObjectRef) -> Manifest:
        """Return a whole claim; of a Secret only the metadata."""
        get = self._client.get if name.kind is CLAIM else self._client.get_metadata
        return await get(name.kind, *name.key)

    def _store(self, name: ObjectRef, result: LookupResult | None) -> None:
        if result is None or self._results.get(name) == result:
            return
        self._results[name] = result
        for host, names in self._required.items():
            if name in names:
                self._enqueue(host)


def _result_of(name: ObjectRef, manifest: Manifest) -> LookupResult:
    """Return the result for an object. One that is being deleted lets no new pod start, so it counts as missing."""
    problem = None
    if manifest["metadata"].get("deletionTimestamp"):
        problem = f"{name.kind.name} {name.key.name} in namespace {name.key.namespace} is being deleted"
    refusal = claim_refusal(name.key.name, manifest) if name.kind is CLAIM and problem is None else None
    return LookupResult(tuple(sorted(s3_annotations(manifest).items())), problem, refusal)
