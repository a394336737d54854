"""Client of the benchmark: one connection, and requests one after the other. It blocks its thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from statistics import median, quantiles

LIMIT_SECONDS = 60.0


class Client:
    """One connection to a port."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection((address, port), timeout=LIMIT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, model: str) -> int:
        """Return the status of an inference request."""
        head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}"
        self._socket.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        headers, _, body = received.partition(b"\r\n\r\n")
        length = int(headers.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self._receive()
        return int(headers.split()[1])

    def _receive(self) -> bytes:
        if data := self._socket.recv(65536):
            return data
        raise ConnectionError("the connection is closed")

    def until_answers(self, *models: str) -> float:
        """Return the time, by a monotonic clock, at which each model has answered."""
        for model in models:
            while self.ask(model) != 200:
                pass
        return time.perf_counter()


def latencies(targets: Mapping[str, Client], models: list[str], rounds: int, requests: int) -> dict[str, list[float]]:
    """Return the seconds of each request by target. The targets take turns, so that all see the same machine."""
    taken: dict[str, list[float]] = {name: [] for name in targets}
    for number in range(rounds):
        for name, client in targets.items():
            for index in range(requests):
                started = time.perf_counter()
                client.ask(models[(number * requests + index) % len(models)])
                taken[name].append(time.perf_counter() - started)
    return taken


def p50(seconds: list[float]) -> float:
    """Return the median."""
    return median(seconds)


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(seconds, n=100)[98]
