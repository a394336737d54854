"""Acknowledgements of routers: which revision of the routes each router's Envoy has, and which routers are waited for.

Times are arguments. Before an unload the agent waits until each router has seen the revision in which the model leaves.

- A router counts as heard at the arrival of a poll. After `SILENCE_SECONDS` without one it is forgotten.
- The wait ends after `BOUND_SECONDS`. The routers that have not seen the revision by then are *lagging*. They are not
  waited for until they have seen the revision of that moment. So a router that never acknowledges delays one unload.
- A new agent does not know its routers yet. It waits until `START_SECONDS` after its start.
"""

from __future__ import annotations

from dataclasses import dataclass

SILENCE_SECONDS = 20.0
"""Longer than the liveness probe of a router takes to replace a frozen program."""
BOUND_SECONDS = 21.0
"""Longest wait for the routers before one unload."""
START_SECONDS = 6.0
"""A router has dropped a silent agent after 5 s, and polls it again within a second."""
MAX_ROUTERS = 64


@dataclass
class _Router:
    heard: float
    seen: int = 0
    lag: int = 0
    """Revision until which the router is lagging."""

    def counts(self, now: float) -> bool:
        return now - self.heard < SILENCE_SECONDS and self.seen >= self.lag


class Routers:
    """Routers of one agent that started at `started`."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._routers: dict[str, _Router] = {}

    def hear(self, router: str, seen: int, now: float) -> bool:
        """Record a poll. Return False for a new router beyond `MAX_ROUTERS`."""
        self._routers = {key: each for key, each in self._routers.items() if now - each.heard < SILENCE_SECONDS}
        if router not in self._routers and len(self._routers) >= MAX_ROUTERS:
            return False
        known = self._routers.setdefault(router, _Router(now))
        known.heard, known.seen = now, max(known.seen, seen)
        return True

    def forget(self, router: str) -> None:
        """Drop a router that has ended."""
        self._routers.pop(router, None)

    def seconds_to_wait(self, revision: int, since: float, now: float) -> float:
        """Return the seconds until the wait for a revision may end by itself; 0 when nothing is waited for.

        Parameters
        ----------
        since
            Time at which the wait began.
        """
        ends = [self._started + START_SECONDS] if now - self._started < START_SECONDS else []
        ends += [each.heard + SILENCE_SECONDS for each in self._routers.values() if self._delays(each, revision, now)]
        return max(0.0, min(*ends, since + BOUND_SECONDS) - now) if ends else 0.0

    def end_wait(self, revision: int, newest: int, now: float) -> tuple[str, ...]:
        """Mark the routers without this revision as lagging until they have seen the newest one; return their names."""
        late = {name: each for name, each in self._routers.items() if self._delays(each, revision, now)}
        for each in late.values():
            each.lag = newest
        return tuple(sorted(late))

    def seen_by_all(self, now: float) -> int:
        """Return the newest revision that each router that counts has seen; 0 when none counts."""
        return min((each.seen for each in self._routers.values() if each.counts(now)), default=0)

    @staticmethod
    def _delays(router: _Router, revision: int, now: float) -> bool:
        return router.counts(now) and router.seen < revision
