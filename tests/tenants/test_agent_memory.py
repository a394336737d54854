"""Memory of a running agent, while it reads content that no model needs: huge settings, and hostile archives.

The peak of the process is set back before each model.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import pytest

from manyserve.agent.servers import textproto
from manyserve.agent.servers.backends import MAX_BYTES as MAX_CONFIG_BYTES
from manyserve.agent.servers.mlserver_settings import MAX_BYTES, MAX_VALUES
from manyserve.api.quantity import parse_memory
from tests.agent.download.archives import tar_of_global_headers, zip_of_directory, zipped
from tests.support.figures import reports
from tests.tenants.agent_process import MIB, AgentProcess, agent_process, container
from tests.tenants.agent_servers import stream

HUGE = 300 * MIB
MORE = 60.0
"""MiB that a model may add to the memory of the idle agent."""
BYTES = MIB // 4
"""Bytes of one part of a streamed body."""


def huge(start: bytes, end: bytes) -> Iterator[bytes]:
    """Yield `HUGE` bytes in parts: a long word between a start and an end."""
    yield start
    yield from repeat(b"x" * BYTES, HUGE // BYTES - 1)
    yield b"x" * (BYTES - len(start) - len(end)) + end


def bomb() -> bytes:
    return zipped(("x", bytes(128 * MIB)))


def settings(values: int) -> bytes:
    """Return settings with so many values, of a form that takes the most memory as objects of Python."""
    return b'{"kept": [%s]}' % b",".join(repeat(b"{}", values // 2 - 1))


def config(values: int) -> bytes:
    return b"a{b:1}\n" * (values // 2)


def many_members() -> bytes:
    """Return a zip with a directory at its limit that has the most members."""
    return zipped(*((f"{number:05}", b"") for number in range(20_000)), compression=zipfile.ZIP_STORED)


class Case(NamedTuple):
    """A hostile file, and the sentence with which it is refused. Triton refuses those that the agent takes."""

    body: Callable[[], Iterator[bytes] | bytes]
    words: str
    state: str = "DownloadFailed"
    models: int = 1
    """Models of this file that are placed at once."""


LARGE_SETTINGS = f"the model has more than {MAX_BYTES} bytes in files model-settings.json"
DENSE_SETTINGS = f"the model has more than {MAX_VALUES} values in files model-settings.json"
LARGE_CONFIG = f"the model has more than {MAX_CONFIG_BYTES} bytes in config.pbtxt"
DENSE_CONFIG = f"config.pbtxt cannot be read: it has more than {textproto.MAX_VALUES} values"
NO_MODEL = ("failed to poll from model repository", "LoadFailed", 8)
MLSERVER = {
    "model-settings.json": Case(partial(huge, b'{"name": "victim", "kept": "', b'"}'), LARGE_SETTINGS),
    "dense/model-settings.json": Case(partial(settings, MAX_BYTES // 2), DENSE_SETTINGS),
    "limit/model-settings.json": Case(partial(settings, MAX_VALUES), *NO_MODEL),
}
TRITON = {
    "config.pbtxt": Case(partial(huge, b"#", b'\nbackend: "python"'), LARGE_CONFIG),
    "dense/config.pbtxt": Case(partial(config, MAX_CONFIG_BYTES // 4), DENSE_CONFIG),
    "bomb.zip": Case(bomb, "it unpacks to more than 100 times its size"),
    "directory.zip": Case(partial(zip_of_directory, 50 * MIB), "its headers are too long"),
    "members.zip": Case(many_members, "it has more than 2000 entries"),
    "headers.tar": Case(partial(tar_of_global_headers, 10_000), "its headers are too long"),
    "limit/config.pbtxt": Case(partial(config, textproto.MAX_VALUES), *NO_MODEL),
}


@pytest.mark.parametrize(("dialect", "cases"), [("mlserver", MLSERVER), ("v2", TRITON)])
async def test_content_of_models_is_read_in_bounded_memory(
    tmp_path: Path, pytestconfig: pytest.Config, dialect: str, cases: dict[str, Case]
) -> None:
    limit = parse_memory(container()["resources"]["limits"]["memory"]) / MIB
    async with agent_process(tmp_path, dialect) as agent:
        await agent.loads("small")
        agent.reset_peak()
        idle = agent.peak()
        peaks = {file: await peak_of(agent, file, case) for file, case in cases.items()}
    figures = reports(pytestconfig)["tenants"]
    for file, peak in peaks.items():
        figures.take(f"{file}: peak of the agent's memory", peak, "MiB", below=limit)
        figures.take(f"{file}: more than the idle agent", peak - idle, "MiB", below=MORE, peer=f"idle {idle:.0f} MiB")
    assert all(peak < limit and peak - idle < MORE for peak in peaks.values()), (idle, peaks)


async def peak_of(agent: AgentProcess, file: str, case: Case) -> float:
    """Let the agent read models of a file beside a small one, and return the peak of its memory in MiB."""
    names = [f"{re.sub('[^a-z]', '', file)}{number}" for number in range(case.models)]
    body, before = case.body(), await agent.downloaded()
    size = len(body) if isinstance(body, bytes) else HUGE
    for name in names:
        if isinstance(body, bytes):
            agent.site.serve(f"/{name}/{file}", body)
        else:
            agent.site.handlers[f"/{name}/{file}"] = partial(stream, size=size, parts=body)
    agent.reset_peak()
    agent.config.write(*(agent.entry(name, file) for name in names), agent.entry("small"))
    for name in names:
        await agent.has(name, case.state, case.words)
    peak = agent.peak()
    await agent.downloaded(before + case.models * size - 1)
    await agent.has("small", "Loaded")
    return peak
