"""Kubelet's probes of a program: a thread of its own requests each path again and again."""

from __future__ import annotations

import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.figures import Figures

PERIOD = 0.2
"""Seconds between two probes of a path."""
MOST_IN_TURN = 2
"""Probes of a path that may fail one after the other: the kubelet acts on the third one, by default."""
UNVERIFIED = ssl._create_unverified_context()  # the kubelet verifies no certificate either


@dataclass
class Probes:
    """Results of the probes so far."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    in_turn: dict[str, int] = field(default_factory=dict)
    """Last probes of each path that failed one after the other."""
    most_in_turn: int = 0

    def probe(self, url: str, timeout: float) -> None:
        """Send one probe."""
        began = time.monotonic()
        try:
            with urllib.request.urlopen(url, timeout=timeout, context=UNVERIFIED) as response:
                response.read()
            self.in_turn[url] = 0
        except OSError as error:  # also of a status that is no success
            self.failures.append(f"{url}: {error}")
            self.in_turn[url] = self.in_turn.get(url, 0) + 1
            self.most_in_turn = max(self.most_in_turn, self.in_turn[url])
        self.seconds.append(time.monotonic() - began)

    def judge(self, figures: Figures, name: str, timeout: float) -> None:
        """Record failures and the slowest answer. Fail if the kubelet would act.

        On a slow machine a single probe may miss its timeout; the figure then says so.
        """
        figures.take(f"failed probes of the {name}", len(self.failures), "", exactly=0, peer=f"of {len(self.seconds)}")
        figures.take(f"slowest probe of the {name}", max(self.seconds), "s", below=timeout)
        assert self.most_in_turn <= MOST_IN_TURN, self.failures


@contextmanager
def probed(timeouts: dict[str, float]) -> Iterator[Probes]:
    """Probe URLs with their timeouts in seconds, until the end of the block."""
    probes, ended = Probes(), threading.Event()

    def run() -> None:
        while not ended.wait(PERIOD):
            for url, timeout in timeouts.items():
                probes.probe(url, timeout)

    thread = threading.Thread(target=run, name="probes")
    thread.start()
    try:
        yield probes
    finally:
        ended.set()
        thread.join()
