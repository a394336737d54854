"""Some seconds of load on one target, by vegeta: a closed loop on so many connections that are kept.

Each connection sends its next request when it has the whole answer to the last one. The requests are a thousand
different ones, in turn. The time in which connections are made and everything warms up is not counted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.webhook.processes import cpu
from bench.webhook.samples import Round, latencies
from localcluster.paths import binary

WARM_SECONDS = 0.5
SHOWN = 300
"""Bytes of each answer that are checked."""


@dataclass(frozen=True)
class Target:
    """The address, the requests and the expected answer."""

    url: str
    bodies: Sequence[Any]
    authority: bytes
    """The CA that the server is known by."""
    pids: Sequence[int]
    """The pids of its programs, for their processor time."""
    status: int = 200
    words: bytes = b'"allowed": true'
    token: str | None = None


async def load(target: Target, connections: int, seconds: float) -> Round:
    """Send for so many seconds. Raises `WrongAnswer`."""
    with TemporaryDirectory(prefix="manyserve-") as name:
        folder = Path(name)
        (folder / "ca.crt").write_bytes(target.authority)
        (folder / "targets").write_text("".join(f"{json.dumps(each)}\n" for each in _requests(target)))
        running = await asyncio.create_subprocess_exec(*_command(folder, connections, seconds))
        await asyncio.sleep(WARM_SECONDS)
        before = time.time(), sum(map(cpu, target.pids)), cpu(running.pid)
        await asyncio.sleep(seconds)
        after = time.time(), sum(map(cpu, target.pids)), cpu(running.pid)
        if await running.wait():
            raise RuntimeError("vegeta failed")
        encode = [binary("vegeta"), "encode", "--to", "csv", str(folder / "results")]
        encoded = await asyncio.create_subprocess_exec(*encode, stdout=asyncio.subprocess.PIPE)
        lines = (await encoded.communicate())[0].decode().splitlines()
    seconds_of_requests = latencies(lines, (before[0], after[0]), target.status, target.words)
    return Round(after[0] - before[0], seconds_of_requests, after[1] - before[1], after[2] - before[2])


def _requests(target: Target) -> list[dict[str, Any]]:
    header = {"Content-Type": ["application/json"]}
    if target.token:
        header["Authorization"] = [f"Bearer {target.token}"]
    return [
        {"method": "POST", "url": target.url, "header": header, "body": base64.b64encode(_json(each)).decode()}
        for each in target.bodies
    ]


def _json(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _command(folder: Path, connections: int, seconds: float) -> list[str]:
    """Return the words: workers without a rate are a closed loop."""
    return [
        *(binary("vegeta"), "attack", "-format=json", f"-targets={folder / 'targets'}", "-rate=0", "-http2=false"),
        *(f"-workers={connections}", f"-max-workers={connections}", f"-max-body={SHOWN}"),
        *(f"-root-certs={folder / 'ca.crt'}", f"-duration={WARM_SECONDS + seconds + 0.2:g}s"),
        f"-output={folder / 'results'}",
    ]
