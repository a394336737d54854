"""Readiness gate of the pod: closed until its first models are settled, then open as long as the pod lives.

The first agent of a pod waits for each model of its first config. A model is settled when it is loaded, has failed
once, is slow to load, or is no longer desired. The wait ends at the latest `settle_seconds` after the server's first
answer. Then the pod is settled, and a marker on the volume records it.

The volume lives as long as the pod. An agent that finds the marker replaces one that was killed in a serving pod.
Such a pod is settled again at the first answer of the server:

- Downloads are not awaited. A model that is still downloading did not answer before the kill either.
- A server that was restarted too does not list the models that it had loaded. Those are awaited until they are
  settled; without a readable config, until there is one.
- A model that the server lists as unavailable or loading was so before the kill, and is not awaited. One load that
  hangs or was rejected must not take away the models that answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from manyserve.agent.concurrency import in_thread
from manyserve.agent.reconcile import ABSENT, Observed, ServerState, is_loaded
from manyserve.agent.retry import RetryState
from manyserve.agent.volume.store import Store
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")

_RETRY_SECONDS = 5.0


class ReadinessGate:
    """Readiness of the pod as one agent sees it."""

    def __init__(self, store: Store, limit: float) -> None:
        self._store = store
        self._limit = limit
        self._started: float | None = None
        self._is_recorded = False
        self._open = asyncio.Event()
        self._awaited: Mapping[str, Entry] | None = None

    async def restore(self) -> None:
        """Read whether an earlier agent of this pod recorded it as settled."""
        self._is_recorded = await asyncio.to_thread(self._store.was_settled)

    def update(
        self, config: Mapping[str, Entry] | None, observed: Observed, now: float, slow: Collection[str] = ()
    ) -> bool:
        """Return whether the pod is settled; once it is, it stays so. `config` is None while none is in force.

        `slow` are models with a load so slow that readiness does not wait for it.
        """
        if self._awaited is None:
            self._awaited = lost_models(config, observed) if self._is_recorded else config
        if self._awaited is not None and (is_settled(self._awaited, observed, slow) or self._is_late(observed, now)):
            self._open.set()
        return self._open.is_set()

    def _is_late(self, observed: Observed, now: float) -> bool:
        """Return whether the time limit has passed since the server's first answer."""
        if self._started is None and observed.index is not None:
            self._started = now
        return self._started is not None and now - self._started >= self._limit

    async def persist(self) -> None:
        """Write the marker once the pod is settled; retry until the volume accepts it."""
        await self._open.wait()
        while not self._is_recorded:
            try:
                await in_thread(self._store.settle)
                self._is_recorded = True
            except OSError:
                log.exception("the marker of the settled pod cannot be written")
                await asyncio.sleep(_RETRY_SECONDS)


def is_settled(awaited: Mapping[str, Entry], observed: Observed, slow: Collection[str] = ()) -> bool:
    """Return whether each of these models is loaded, has failed once, is slow, or is no longer desired."""
    return all(
        name in slow
        or is_loaded(name, entry.digest, observed)
        or observed.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest).failures > 0
        for name, entry in awaited.items()
        if observed.desired.get(name, entry).digest == entry.digest and name in observed.desired
    )


def lost_models(config: Mapping[str, Entry] | None, observed: Observed) -> Mapping[str, Entry] | None:
    """Return the desired models that a restart of the server took away; None while that is unknown."""
    if observed.index is None:
        return None
    loaded = {name: disk.digest for name, disk in observed.disk.items() if disk.loaded}
    lost = {
        name: digest for name, digest in loaded.items() if observed.index.get(name, ABSENT).state is ServerState.ABSENT
    }
    if config is None:
        return None if lost else {}
    return {name: config[name] for name, digest in lost.items() if name in config and config[name].digest == digest}
