"""The kubelet's readiness probe as a program: `python -m tests.tenants.agent_probe PORT SECONDS COUNT`.

Each probe has a connection of its own, from another address than that of the attack, and a timeout of SECONDS. The
program ends after COUNT probes, or at the end of its input. It prints a JSON list of the duration and status of each.
"""

from __future__ import annotations

import http.client
import json
import select
import sys
import time

from tests.support.connections import ADDRESS, KUBELET

PAUSE = 0.1
"""Seconds between two probes."""


def probe(port: int, timeout: float) -> tuple[float, int]:
    """Return the duration and the status of a probe; 0 without a response."""
    started = time.monotonic()
    connection = http.client.HTTPConnection(ADDRESS, port, timeout, source_address=(KUBELET, 0))
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except OSError:
        status = 0
    finally:
        connection.close()
    return time.monotonic() - started, status


def main(port: int, timeout: float, count: int) -> None:
    """Probe until the end."""
    results: list[tuple[float, int]] = []
    print("started", flush=True)
    while len(results) < count and not select.select([sys.stdin], [], [], PAUSE)[0]:
        results.append(probe(port, timeout))
    print(json.dumps(results))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
