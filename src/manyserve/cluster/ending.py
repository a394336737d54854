"""Namespaces that end: the API server has answered a write that they are being terminated, or do not exist.

The API server refuses to create objects in such a namespace, deletes the others, and needs no help. The first answer
stops all writes to the namespace. They are tried again after an object is created in a namespace of this name, and
else once in `HOLD_SECONDS`, in case the answer was out of date.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from manyserve.cluster.errors import NamespaceEnding

HOLD_SECONDS = 60.0


class EndingNamespaces:
    """The namespaces that end, for the writes of one client.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def check(self, namespace: str | None) -> None:
        """Raise `NamespaceEnding` if a write to a namespace is not to be sent."""
        if namespace is not None and self._clock() < self._until.get(namespace, 0.0):
            raise NamespaceEnding(f"not written: namespace {namespace} is being terminated, or does not exist")

    def add(self, namespace: str) -> None:
        """Record that a namespace ends."""
        now = self._clock()
        self._until = {name: until for name, until in self._until.items() if until > now}
        self._until[namespace] = now + HOLD_SECONDS

    def discard(self, namespace: str | None) -> None:
        """Record that an object was created in a namespace: it does not end, or is another one of this name."""
        if namespace is not None:
            self._until.pop(namespace, None)
