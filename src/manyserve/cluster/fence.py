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
"""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import BytesIOPayload

from manyserve.cluster.errors import NotLeading

MARGIN = 1.0
SHORTEST_WRITE = 3.0


def running_time() -> float:
    """Return the seconds of a clock that only goes forward, and on Linux also while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Gate(Protocol):
    """Passes a write, or refuses it before it is sent."""

    def seconds(self) -> float:
        """Return how long a write that begins now may take. Raises `ClusterError`."""


class Gates:
    """A gate that passes what all of some gates pass."""

    def __init__(self, *gates: Gate) -> None:
        self._gates = gates

    def seconds(self) -> float:
        """Return how long a write that begins now may take. Raises what the first gate that is shut raises."""
        return min(each.seconds() for each in self._gates)


class Fence:
    """Until when writes may go out: shut at first, and whenever it has not been opened again in time."""

    def __init__(self, clock: Callable[[], float] = running_time) -> None:
        self._clock = clock
        self._end = float("-inf")

    def open_until(self, end: float) -> None:
        """Let writes go out that end a second before this time of the clock."""
        self._end = end

    def shut(self) -> None:
        """Let nothing go out any more."""
        self._end = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether a write may begin."""
        return self._left() >= SHORTEST_WRITE

    def seconds(self) -> float:
        """Return how long a write that begins now may take. Raises `NotLeading`."""
        left = self._left()
        if left < SHORTEST_WRITE:
            raise NotLeading("not written: this replica does not hold the lease, or could not renew it in time")
        return left

    def _left(self) -> float:
        return self._end - MARGIN - self._clock()


class FencedBody(BytesIOPayload):
    """A request's body that leaves only while the gate passes it; without its body no write is carried out."""

    def __init__(self, value: bytes, gate: Gate) -> None:
        super().__init__(BytesIO(value))
        self._gate = gate

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body. Raises what the gate raises."""
        self._gate.seconds()
        await super().write_with_length(writer, content_length)
