"""Readiness gate of the pod: closed while the pod waits for models, then open as long as the pod lives.

The operator decides how long a new pod waits, since only the operator knows which models answer on the host's other
pods. Each of its polls carries a hold: docs/decisions/0013-the-operators-poll-carries-readiness.md. A new pod with a
`models.json` is settled

- when each of its models is loaded, whatever the hold;
- when the hold is over, counted from the server's first answer;
- without a hold for `silence` seconds: when each model is loaded or has failed once, and at the latest `limit` seconds
  after the server's first answer.

A marker on the volume records it. The volume lives as long as the pod. An agent that finds the marker replaces one that
was killed in a serving pod. Such a pod is settled again at the first answer of the server:

- Downloads are not awaited. A model that is still downloading did not answer before the kill either.
- A server that was restarted too does not list the models that it had loaded. Those are awaited until they are loaded
  or have failed once; without a readable config, until there is one. A hold that is over ends this wait, too.
- A model that the server lists as unavailable or loading was so before the kill, and is not awaited. One load that
  hangs or was rejected must not take away the models that answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from manyserve.agent.concurrency import in_thread
from manyserve.agent.reconcile import ABSENT, Observed, ServerState, is_loaded
from manyserve.agent.retry import RetryState
from manyserve.agent.volume.store import Store
from manyserve.api.agentreport import LONGEST_HOLD
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")

_RETRY_SECONDS = 5.0


class ReadinessGate:
    """Readiness of the pod as one agent sees it. Times are monotonic."""

    def __init__(self, store: Store, limit: float, silence: float) -> None:
        self._store = store
        self._limit = limit
        self._silence = silence
        self._is_recorded = False
        self._open = asyncio.Event()
        self._lost: Mapping[str, Entry] | None = None
        self._answered: float | None = None
        """Time of the server's first answer."""
        self._hold: float | None = None
        self._renewed: float | None = None
        """Time of the last hold; before the first one, time of the first update."""

    async def restore(self) -> None:
        """Read whether an earlier agent of this pod recorded it as settled."""
        self._is_recorded = await asyncio.to_thread(self._store.was_settled)

    def hold(self, seconds: float, now: float) -> bool:
        """Put the operator's hold in force. Return whether the next update may differ."""
        before, self._hold, self._renewed = self._hold, min(seconds, LONGEST_HOLD), now
        return self._hold != before and not self._open.is_set()

    def update(self, config: Mapping[str, Entry] | None, observed: Observed, now: float) -> bool:
        """Return whether the pod is settled; once it is, it stays so. `config` is None while none is in force."""
        if self._renewed is None:
            self._renewed = now
        if self._answered is None and observed.index is not None:
            self._answered = now
        if not self._open.is_set() and self._answered is not None:
            waited = now - self._answered
            is_over = self._is_restart_over if self._is_recorded else self._is_wait_over
            if is_over(config, observed, waited, now - self._renewed):
                self._open.set()
        return self._open.is_set()

    def _is_wait_over(
        self, config: Mapping[str, Entry] | None, observed: Observed, waited: float, silent: float
    ) -> bool:
        """Return whether a new pod waits no longer."""
        if config is None:
            return False
        if silent >= self._silence:
            return waited >= self._limit or is_settled(config, observed)
        is_held = self._hold is None or waited < self._hold
        return not is_held or all(is_loaded(name, entry.digest, observed) for name, entry in config.items())

    def _is_restart_over(
        self, config: Mapping[str, Entry] | None, observed: Observed, waited: float, _silent: float
    ) -> bool:
        """Return whether a pod that was settled before waits no longer."""
        if self._lost is None:
            self._lost = lost_models(config, observed)
        if self._lost is None:
            return False
        is_held = waited < (self._limit if self._hold is None else min(self._hold, self._limit))
        return not is_held or is_settled(self._lost, observed)

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


def is_settled(awaited: Mapping[str, Entry], observed: Observed) -> bool:
    """Return whether each of these models is loaded, has failed once, or is no longer desired."""
    return all(
        is_loaded(name, entry.digest, observed)
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
