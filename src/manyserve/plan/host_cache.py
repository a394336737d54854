"""FIFO cache by the host's key, with a bound on hosts. It is locked, since large hosts are planned in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

from manyserve.api.names import Key

MAX_HOSTS = 1000

T = TypeVar("T")


class HostCache(Generic[T]):
    """One value for each of the hosts that were planned last."""

    def __init__(self, max_hosts: int = MAX_HOSTS) -> None:
        self._max_hosts = max_hosts
        self._values: dict[Key, T] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the hosts; the first one is evicted first."""
        return iter(self._values)

    def get(self, host: Key) -> T | None:
        """Return the value of a host, or None."""
        return self._values.get(host)

    def put(self, host: Key, value: T) -> None:
        """Store the value of a host, and evict the first hosts above the bound."""
        with self._lock:
            self._values[host] = value
            while len(self._values) > self._max_hosts:
                del self._values[next(iter(self._values))]

    def drop(self, host: Key) -> None:
        """Drop the value of a host that is gone."""
        with self._lock:
            self._values.pop(host, None)
