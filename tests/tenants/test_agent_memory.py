"""Memory of a running agent, while it reads content that no model needs: huge settings, and hostile archives.

The peak of the process is set back before each model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest

from manyserve.api.quantity import parse_memory
from tests.agent.download.archives import tar_of_global_headers, zip_of_directory, zipped
from tests.support.figures import reports
from tests.tenants.agent_process import MIB, agent_process, container, stream

HUGE = 300 * MIB
MORE = 60.0
"""MiB that a model may add to the memory of the idle agent."""
BYTES = MIB // 4
"""Bytes of one part of a streamed body."""


def huge_settings() -> Iterator[bytes]:
    """Yield a JSON object of `HUGE` bytes."""
    start, end = b'{"name": "victim", "kept": "', b'"}'
    yield start
    yield from repeat(b"x" * BYTES, HUGE // BYTES - 1)
    yield b"x" * (BYTES - len(start) - len(end)) + end


def huge_config() -> Iterator[bytes]:
    """Yield a configuration of Triton of `HUGE` bytes: a backend behind a long comment."""
    start, end = b"#", b'\nbackend: "python"'
    yield start
    yield from repeat(b"x" * BYTES, HUGE // BYTES - 1)
    yield b"x" * (BYTES - len(start) - len(end)) + end


def bomb() -> bytes:
    return zipped(("x", bytes(128 * MIB)))


Body = Callable[[], Iterator[bytes]] | Callable[[], bytes]


@pytest.mark.parametrize(
    ("dialect", "cases"),
    [
        (
            "mlserver",
            {"model-settings.json": (huge_settings, "the model has more than 1048576 bytes in files model-settings.")},
        ),
        (
            "v2",
            {
                "config.pbtxt": (huge_config, "the model has more than 1048576 bytes in config.pbtxt"),
                "bomb.zip": (bomb, "it unpacks to more than 100 times its size"),
                "directory.zip": (partial(zip_of_directory, 50 * MIB), "its headers are too long"),
                "headers.tar": (partial(tar_of_global_headers, 10_000), "its headers are too long"),
            },
        ),
    ],
)
async def test_content_of_models_is_read_in_bounded_memory(
    tmp_path: Path, pytestconfig: pytest.Config, dialect: str, cases: dict[str, tuple[Body, str]]
) -> None:
    limit = parse_memory(container()["resources"]["limits"]["memory"]) / MIB
    figures, peaks = reports(pytestconfig)["tenants"], {}
    async with agent_process(tmp_path, dialect) as agent:
        await agent.loads("small")
        agent.reset_peak()
        idle = agent.peak()
        for file, (body, words) in cases.items():
            name = f"large{len(peaks)}"
            content, before = body(), await agent.downloaded()
            size = len(content) if isinstance(content, bytes) else HUGE
            if isinstance(content, bytes):
                agent.site.serve(f"/{name}/{file}", content)
            else:
                agent.site.handlers[f"/{name}/{file}"] = partial(stream, size=HUGE, parts=content)
            agent.reset_peak()
            agent.config.write(agent.entry(name, file), agent.entry("small"))
            assert (await agent.has(name, "DownloadFailed", words)).permanent
            peaks[file] = agent.peak()
            assert await agent.downloaded() - before >= size, "the whole body was read"
            assert await agent.has("small", "Loaded")
    for file, peak in peaks.items():
        figures.take(f"{file}: peak of the agent's memory", peak, "MiB", below=limit)
        figures.take(f"{file}: more than the idle agent", peak - idle, "MiB", below=MORE, peer=f"idle {idle:.0f} MiB")
    assert all(peak < limit and peak - idle < MORE for peak in peaks.values()), peaks
