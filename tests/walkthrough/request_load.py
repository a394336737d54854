"""Load generator: requests at a steady rate through the gateway, from background threads."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SECONDS = 10.0
"""Timeout of a request; a slower one counts as lost."""


@dataclass
class RequestResults:
    """Results of the requests so far."""

    answered: int = 0
    lost: list[str] = field(default_factory=list)
    """Time in seconds after the first request, and error, of each lost request."""

    @property
    def count(self) -> int:
        """Number of ended requests."""
        return self.answered + len(self.lost)


@contextmanager
def request_load(*requests: urllib.request.Request, rate: float) -> Iterator[RequestResults]:
    """Send the requests in turn until the block ends; `rate` is the total number a second."""
    results, stop, began = RequestResults(), threading.Event(), time.monotonic()
    pause = len(requests) / rate
    threads = [threading.Thread(target=_send_repeatedly, args=(each, pause, results, stop, began)) for each in requests]
    for thread in threads:
        thread.start()
    try:
        yield results
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * SECONDS)


def _send_repeatedly(
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
