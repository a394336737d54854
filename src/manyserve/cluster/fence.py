"""Fencing of writes: none leaves this process once another replica may lead.

The leader opens the fence until the end of the Lease, counted from before the renewal was sent. No replica can count
from an earlier time. With the default Lease of 12 s:

    0 renewal is sent              8                11        12 seconds
    ├─ a write may begin ──────────┼────────────────┼─────────┼─ another replica may lead
                                   └ SHORTEST_WRITE └ MARGIN: each write has ended, or timed out

    A1  A write begins at 5: its timeout is 6 s, so it ends before 11.
    A2  A write begins at 9: it is refused, since 3 s are not left.
    B1  The process freezes after the first check.
            5 checked ── frozen ── 13 continues ──▶ checked again as the body leaves: refused
        No write is carried out without its body.
    C1  The body is on the network already, and arrives late.
            10 body leaves ── network ── 14 arrives
        No fence can stop it; the resourceVersion in `models.json` refuses it.

docs/decisions/0011-leader-election-of-our-own.md has the reasons and figures.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload

from manyserve.cluster.clock import running_time
from manyserve.cluster.errors import NotLeading

MARGIN = 1.0
"""Seconds between the timeout of the last write and the end of the Lease."""
SHORTEST_WRITE = 3.0
"""Seconds that a write has at least: with less left it does not begin."""


class Gate(Protocol):
    """Check before each write: it passes, or raises before the write is sent."""

    def write_timeout(self) -> float:
        """Return the timeout in seconds of a write that begins now. Raises `ClusterError`."""


class Gates:
    """Gate that a write passes when it passes all of several gates."""

    def __init__(self, *gates: Gate) -> None:
        self._gates = gates

    def write_timeout(self) -> float:
        """Return the shortest timeout of all gates. Raises the error of the first gate that refuses."""
        return min(gate.write_timeout() for gate in self._gates)


class Fence:
    """Gate that is open until a time of its clock. It is shut at first."""

    def __init__(self, clock: Callable[[], float] = running_time) -> None:
        self._clock = clock
        self._end = float("-inf")

    def open_until(self, end: float) -> None:
        """Let writes begin that end `MARGIN` before this time of the clock."""
        self._end = end

    def shut(self) -> None:
        """Refuse all writes from now on."""
        self._end = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether a write may begin."""
        return self._left() >= SHORTEST_WRITE

    def write_timeout(self) -> float:
        """Return the timeout in seconds of a write that begins now. Raises `NotLeading`."""
        left = self._left()
        if left < SHORTEST_WRITE:
            raise NotLeading("not written: this replica does not hold the lease, or could not renew it in time")
        return left

    def _left(self) -> float:
        return self._end - MARGIN - self._clock()


class FencedBody(BytesIOPayload):
    """Body of a request that checks the gate when it leaves. Without its body no write is carried out."""

    def __init__(self, value: bytes, gate: Gate) -> None:
        super().__init__(BytesIO(value))
        self._gate = gate

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body. Raises the error of the gate."""
        self._gate.write_timeout()
        await super().write_with_length(writer, content_length)
