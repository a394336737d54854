"""What goes on around a host: whether users change models one by one or in a crowd, and who waits for a lull.

Users that change models are heard, and so is what we tell them; a host's plan is paced by both (`plan.pace`).
A host that holds something back until users make a pause, until nobody is told anything, or until it is its turn in a
crowd (`turns`), is touched then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from manyserve.api.names import Key
from manyserve.operator.turns import Turns
from manyserve.plan import pace
from manyserve.plan.actions import Plan

QUIET = 0.3
"""Seconds without a change of any model by a user, after which all that are applied together have come."""
BREATH = 0.1
"""Seconds without such a change, after which what is told need not give way; at the next change it does again."""
CALM = 1.0
"""Seconds without such a change, and without a word to anybody, after which a crowd is over."""
CROWD = 50
"""Changes by users within a second: more than one types."""
HOSTS = 10
"""Of which users change models within a second: more are a crowd, too."""
LATER = 5.0
"""Seconds until a host that gave way tries again, if there is no lull."""
LOOK = 0.05


class Lulls:
    """Notes what goes on, and touches those that wait for it to end.

    Parameters
    ----------
    touch
        Called with each host that is to run, and the seconds that it may wait at most.
    hasten
        Called with each that is to run because a crowd has made a pause.
    clock
        Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        touch: Callable[[Key, float], None],
        hasten: Callable[[Key], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._touch = touch
        self._hasten = hasten
        self._clock = clock
        self._heard = self._told = self._second = float("-inf")
        self._count = 0
        self._hosts: set[Key] = set()
        self._crowd = False
        self._turns = Turns()
        self._for_quiet: set[Key] = set()
        self._for_calm: set[Key] = set()

    def news(self, key: Key) -> None:
        """Have a host touched of which a user changed a model: soon, but in a crowd when `models.json` may change."""
        self._heard_one(key)
        come = self._turns.heard(key, self._heard)
        if not self._at_it:
            self._soon(key)
            return
        self._for_quiet.add(key)
        if come:
            self._touch(key, pace.GAP)

    def _heard_one(self, key: Key) -> None:
        if self._quiet:
            self._turns.all_have_come()
        self._heard = now = self._clock()
        if now - self._second >= 1:
            self._second, self._count, self._hosts = now, 0, set()
        self._count += 1
        self._hosts.add(key)
        self._crowd = self._crowd or self._count >= CROWD or len(self._hosts) > HOSTS

    def told(self) -> None:
        """Note that something was written that keeps nobody else waiting."""
        self._told = self._clock()

    @property
    def crowd(self) -> bool:
        """Whether models change by the dozen, or it is still told what became of them."""
        if self._crowd and self._clock() - max(self._heard, self._told) >= CALM:
            self._crowd = False
        return self._crowd

    def narrow(self) -> bool:
        """Tell whether users ask much this very moment: what is told of models gives way to them."""
        return self._crowd and self._clock() - self._heard < BREATH

    @property
    def _at_it(self) -> bool:
        return self._crowd and not self._quiet

    @property
    def _quiet(self) -> bool:
        return self._clock() - self._heard >= QUIET

    def around(self, key: Key) -> pace.Traffic:
        """Return what goes on around a host."""
        now = self._clock()
        last, busy = self._turns.last(key, now), self._turns.busy(key)
        wait = self._turns.wait(key, now) if self._at_it else 0.0
        return pace.Traffic(last.written if last else None, busy, wait, quiet=self._quiet, crowd=self.crowd)

    def paced(self, key: Key, todo: Plan, now: datetime) -> Plan:
        """Return what of a host's plan is done now; when there is a lull, it is touched for the rest."""
        traffic = self.around(key)
        done = pace.paced(todo, traffic, now)
        if done.changes_config:
            self._turns.wrote(key, pace.pay(traffic, now), self._clock())
        elif todo.changes_config and not traffic.quiet:
            self._for_quiet.add(key)
        if traffic.crowd and len(done.statuses) < len(todo.statuses):
            self._for_calm.add(key)
        return done

    def failed(self, key: Key) -> None:
        """Note that a host's plan was not done: what it was to write may be written at any time."""
        self._turns.failed(key)

    def later(self, key: Key) -> None:
        """Have a host touched that left something to be told while users are at it: when they make a pause, or soon."""
        self._for_quiet.add(key)
        self._touch(key, LATER)

    async def run(self) -> None:
        """Touch those that wait whenever there is a lull, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK)

    def look(self) -> None:
        """Touch those that wait, if there is a lull or it is their turn."""
        if self._quiet:
            _release(self._for_quiet, self._hasten if self._crowd else self._soon)
        elif self._crowd:
            for key in self._turns.come(self._clock()):
                self._soon(key)
        if not self.crowd:
            _release(self._for_calm, self._soon)

    def _soon(self, key: Key) -> None:
        self._touch(key, 0.0)


def _release(waiting: set[Key], touch: Callable[[Key], None]) -> None:
    while waiting:
        touch(waiting.pop())
