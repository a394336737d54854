"""Two lanes for what is told: a wide one, and a narrow one for as long as users ask much of the API server.

What it can do is then theirs, and their changes are in `models.json` sooner. In the narrow lane a host goes on as
long as nobody else waits, and tells one thing at least; the rest it leaves for later, for while it tells something it
is not planned again.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from manyserve.cluster.errors import ClusterError
from manyserve.cluster.manners import Condition, Manners
from manyserve.cluster.slots import Slots, Write, is_hopeless

NARROW = 2


class Lanes:
    """Writes for all hosts together, in the one lane or the other.

    Parameters
    ----------
    urgent
        Where what is not told is written, which goes first.
    """

    def __init__(self, urgent: Slots) -> None:
        self._wide = Slots(after=urgent)
        self._narrow = Slots(NARROW)

    async def do(self, writes: Iterable[Write], enough: Condition, manners: Manners) -> None:
        """Do all writes, or those until it is enough or others wait; raise the first error after the last one."""
        left, errors, said = deque(writes), list[ClusterError](), _Said(enough)
        while left and not said.yes and not is_hopeless(errors):
            if not manners.narrow():
                errors += await self._wide.take(left, lambda: said() or manners.narrow())
                continue
            errors += await self._give_way(left, said, manners.narrow)
            if manners.narrow():
                break
        if left and not said.yes:  # else it is the host's turn again anyway
            manners.later()
        if errors:
            raise errors[0]

    async def _give_way(self, left: deque[Write], enough: Condition, narrow: Condition) -> list[ClusterError]:
        others = after(NARROW, lambda: self._narrow.contended)
        return await self._narrow.take(left, lambda: enough() or not narrow() or others())


@dataclass
class _Said:
    """A condition, and whether it has held once."""

    condition: Condition
    yes: bool = False

    def __call__(self) -> bool:
        self.yes = self.yes or self.condition()
        return self.yes


def after(count: int, condition: Condition) -> Condition:
    """Return the condition, for all calls but the first so many."""
    calls = itertools.count()
    return lambda: next(calls) >= count and condition()
