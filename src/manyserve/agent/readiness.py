"""Whether the pod may get requests: from the end of its first models on, for as long as it lives.

The first agent of a pod waits until each model of its first config is loaded, has failed once, takes its time in
the server, or is wanted no more, and no longer than `settle_seconds` after the server's first answer; then the pod
is settled, and a marker on the volume says so. The volume lives as long as the pod: an agent that finds the marker
is the successor of one that was killed, in a pod that was serving. Such a pod is settled again with the first
answer of the server:

- No download is waited for. What is still on its way did not answer before the kill either.
- A server that was restarted too does not list models whose files it had taken. Those are waited for, until each
  is loaded, has failed once, or is wanted no more; without a config that can be read, until there is one.
- What the server does list as unavailable or loading was so before the kill, and is not waited for: one load that
  hangs or was refused must not take away the models that answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from manyserve.agent.reconcile import ABSENT, Observed, ServerState, is_loaded
from manyserve.agent.retry import RetryState
from manyserve.agent.threads import in_thread
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")

_AGAIN_SECONDS = 5.0


class ReadinessGate:
    """The way of one agent to a settled pod."""

    def __init__(self, store: Store, limit: float) -> None:
        self._store = store
        self._limit = limit
        self._began: float | None = None
        self._before = False
        self._over = asyncio.Event()
        self._awaited: Mapping[str, Entry] | None = None

    async def open(self) -> None:
        """Learn whether an earlier agent of this pod saw it settled."""
        self._before = await asyncio.to_thread(self._store.was_settled)

    def is_over(
        self, config: Mapping[str, Entry] | None, seen: Observed, now: float, slow: Collection[str] = ()
    ) -> bool:
        """Tell whether the pod is settled; once it is, it stays so. Without a config in force, `config` is None.

        `slow` are the models that the server has been loading for so long that nobody waits for them.
        """
        if self._awaited is None:
            self._awaited = lost(config, seen) if self._before else config
        if self._awaited is not None and (is_settled(self._awaited, seen, slow) or self._is_late(seen, now)):
            self._over.set()
        return self._over.is_set()

    def _is_late(self, seen: Observed, now: float) -> bool:
        """Tell whether it has taken too long, whatever is still on its way."""
        if self._began is None and seen.index is not None:
            self._began = now
        return self._began is not None and now - self._began >= self._limit

    async def write_down(self) -> None:
        """Write the marker as soon as the pod is settled, however often the volume refuses."""
        await self._over.wait()
        while not self._before:
            try:
                await in_thread(self._store.settle)
                self._before = True
            except OSError:
                log.exception("that the pod is settled cannot be written down")
                await asyncio.sleep(_AGAIN_SECONDS)


def is_settled(awaited: Mapping[str, Entry], seen: Observed, slow: Collection[str] = ()) -> bool:
    """Tell whether each of these models is loaded, has failed once, is slow, or is wanted no more."""
    return all(
        name in slow
        or is_loaded(name, entry.digest, seen)
        or seen.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest).failures > 0
        for name, entry in awaited.items()
        if seen.desired.get(name, entry).digest == entry.digest and name in seen.desired
    )


def lost(config: Mapping[str, Entry] | None, seen: Observed) -> Mapping[str, Entry] | None:
    """Return the wanted models that a restart of the server took away; None while that cannot be told."""
    if seen.index is None:
        return None
    taken = {name: disk.digest for name, disk in seen.disk.items() if disk.loaded}
    gone = {name: it for name, it in taken.items() if seen.index.get(name, ABSENT).state is ServerState.ABSENT}
    if config is None:
        return None if gone else {}
    return {name: config[name] for name, digest in gone.items() if name in config and config[name].digest == digest}
