"""Requests at a steady rate through the gateway, from a thread, while something else happens."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SECONDS = 10.0
"""How long a request may take; one that takes longer is lost."""


@dataclass
class RequestResults:
    """What came of the requests so far."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    """When, seconds after the first request, and why."""

    @property
    def count(self) -> int:
        """How many requests ended."""
        return self.answered + len(self.lost)


@contextmanager
def request_load(*requests: urllib.request.Request, rate: float) -> Iterator[RequestResults]:
    """Send each request again and again, all together so many times a second, until the block ends."""
    results, stop, began = RequestResults(), threading.Event(), time.monotonic()
    pause = len(requests) / rate
    threads = [threading.Thread(target=_ask, args=(each, pause, results, stop, began)) for each in requests]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * SECONDS)


def _ask(
    request: urllib.request.Request, pause: float, results: RequestResults, stop: threading.Event, began: float
) -> None:
    while not stop.wait(pause):
        sent = time.monotonic() - began
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                answer.read()
            results.answered += 1
        except OSError as error:
            results.lost.append(f"{sent:.1f} s: {request.full_url}: {error}")
