"""Objects that are asked for one by one, by name: claims of models, and secrets whose annotations say where S3 is.

To watch them would take the right to list all of a kind, and with it all secrets of a cluster. So each that a
host needs is looked at when it is first named, and again now and then: soon when it is missing, since
somebody may be about to make it, seldom when it is there. Only its metadata is asked for. A look that fails
leaves what was known, and is repeated; a host whose names have not all been looked at keeps its pods. A right that
is taken away takes nothing from the pods either. However many names there are, looking at them again takes no
more than twenty requests a second.
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
from manyserve.cluster.kinds import Kind
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.service_accounts import s3_annotations

AGAIN_A_SECOND = 20

_log = logging.getLogger(__name__)


class ObjectRef(NamedTuple):
    """Which object."""

    kind: Kind
    key: Key


@dataclass(frozen=True)
class LookupResult:
    """What a look found: the annotations about S3, and in a sentence why there is nothing."""

    annotations: tuple[tuple[str, str], ...] = ()
    why_not: str | None = None
    unverified: bool = False
    """It may be there all the same: nobody may look. The annotations are those that were seen last."""


@dataclass(frozen=True)
class PollIntervals:
    """After how many seconds an object is looked at again."""

    there: float = 60.0
    missing: float = 3.0
    failed: float = 2.0


class MetadataPoller:
    """Keeps `known` what the last looks found, while `run` runs.

    Parameters
    ----------
    touch
        Called with each host for which a look found something new.
    """

    def __init__(
        self,
        client: KubeClient,
        known: dict[ObjectRef, LookupResult],
        touch: Callable[[Key], None],
        rhythm: PollIntervals | None = None,
    ) -> None:
        self._client = client
        self._known = known
        self._touch = touch
        self._rhythm = rhythm or PollIntervals()
        self._wanted: dict[Key, frozenset[ObjectRef]] = {}
        self._due: dict[ObjectRef, float] = {}
        self._called = asyncio.Event()
        self._limiter = Limiter()

    def set_required(self, host: Key, names: frozenset[ObjectRef]) -> None:
        """Look after the names that a host needs now, and no more after those that no host needs."""
        if self._wanted.get(host, frozenset()) == names:
            return
        self._wanted[host] = names
        if not names:
            del self._wanted[host]
        needed = frozenset().union(*self._wanted.values())
        for gone in self._due.keys() - needed:
            self._known.pop(gone, None)
            del self._due[gone]
        self._due |= dict.fromkeys(needed - self._due.keys(), 0.0)
        self._called.set()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            self._called.clear()
            now = time.monotonic()
            await self._limiter.run([partial(self._look, name) for name, due in self._due.items() if due <= now])
            left = min(self._due.values(), default=now + self._rhythm.there) - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0.05)):  # before Python 3.12 `wait_for` may lose a cancellation
                    await self._called.wait()

    async def _look(self, name: ObjectRef) -> None:
        pause = self._rhythm.there
        found: LookupResult | None
        try:
            found = _looked(name, await self._client.get_metadata(name.kind, *name.key))
        except NotFound:
            found = LookupResult(
                why_not=f"{name.kind.name} {name.key.name} does not exist in namespace {name.key.namespace}"
            )
            pause = self._rhythm.missing
        except Forbidden as error:
            why_not = f"{name.kind.name} {name.key.name} may not be looked at: {error}"
            found = LookupResult(self._known.get(name, LookupResult()).annotations, why_not, unverified=True)
        except ClusterError as error:
            _log.warning("%s %s could not be looked at: %s", name.kind.name, name.key, error)
            found, pause = self._known.get(name), self._rhythm.failed
        if name in self._due:  # else nobody needs it any more
            self._due[name] = time.monotonic() + max(pause, len(self._due) / AGAIN_A_SECOND)
            self._keep(name, found)

    def _keep(self, name: ObjectRef, found: LookupResult | None) -> None:
        if found is None or self._known.get(name) == found:
            return
        self._known[name] = found
        for host, names in self._wanted.items():
            if name in names:
                self._touch(host)


def _looked(name: ObjectRef, manifest: Manifest) -> LookupResult:
    """Return what there is to know of an object; one on its way out lets no new pod start, so it counts as gone."""
    leaves = manifest["metadata"].get("deletionTimestamp")
    why_not = f"{name.kind.name} {name.key.name} in namespace {name.key.namespace} is being deleted" if leaves else None
    return LookupResult(tuple(sorted(s3_annotations(manifest).items())), why_not)
