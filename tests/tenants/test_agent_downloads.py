"""Downloads against a running agent: slow and silent servers, archives of many files, models beyond the volume."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
from aiohttp import web

from manyserve.agent.settings import AgentSettings
from manyserve.agent.volume.disk_budget import disk_use
from tests.agent.download.archives import entry as member
from tests.agent.download.archives import tar_gz, zipped
from tests.agent.download.webserver import Handler, Site
from tests.support.connections import ADDRESS, KUBELET
from tests.support.eventually import eventually
from tests.support.figures import reports
from tests.tenants.agent_process import LIMIT, MIB, POLL_SECONDS, AgentProcess, agent_process
from tests.tenants.agent_servers import drip, stream

SLOW = 13 * 1024
"""Bytes a second of the slow server."""
SMALL_SECONDS = 60.0
"""The longest time until a model of four bytes is loaded beside slow ones."""
SLOTS = AgentSettings().parallel_downloads + AgentSettings().slow_downloads
EMPTY_FILES = 99_990
VOLUME = 96 * MIB
"""The limit of the volume: 32 MiB more than its reserve."""


def slow(agent: AgentProcess) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await drip(agent.release, request, 10**6, SLOW)

    return answer


def silent(agent: AgentProcess) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        await agent.release.wait()
        return web.Response()

    return answer


async def arrived(agent: AgentProcess) -> dict[str, int]:
    """Return the bytes that each download has."""
    report = await agent.report()
    return {name: model.bytes for name, model in report.models.items() if model.bytes} if report else {}


async def growing(agent: AgentProcess, first: dict[str, int], count: int) -> bool:
    """Wait until as many downloads have more bytes than at first."""

    async def more() -> bool:
        return sum(now > first.get(name, 0) for name, now in (await arrived(agent)).items()) >= count

    return bool(await eventually(more, f"{count} downloads have more than {first}", LIMIT, POLL_SECONDS))


@pytest.mark.parametrize(("count", "kind", "host"), [(8, slow, ADDRESS), (40, slow, KUBELET), (40, silent, KUBELET)])
async def test_small_model_is_loaded_beside_slow_downloads(
    tmp_path: Path, pytestconfig: pytest.Config, count: int, kind: Callable[[AgentProcess], Handler], host: str
) -> None:
    """Eight slow models are at the small one's server. Forty of another server need more than all slots."""
    other = Site()
    server = await other.start(None, host)
    async with agent_process(tmp_path, MANYSERVE_PROGRESS_SECONDS="1") as agent:
        alone = await agent.loads("first")
        site = agent.site if host == ADDRESS else other
        names = [f"slow{number}" for number in range(count)]
        site.handlers |= {f"/{name}/content": kind(agent) for name in names}
        entries = [agent.entry(name, site=site, host=host) for name in names]
        agent.config.write(*entries)
        busy = min(count, SLOTS)
        await eventually(lambda: len({each.path for each in site.requests}) >= busy, f"{busy} slow downloads run")
        first = await arrived(agent)
        beside = await agent.loads("small", *entries)
        if kind is slow:
            assert await growing(agent, first, 8 if count == 8 else 4)
        agent.release.set()
    await server.close()
    name = f"{count} {kind.__name__} downloads: a small model is loaded"
    peer = f"{beside / alone:.1f} times the time alone, {alone:.2f} s"
    reports(pytestconfig)["tenants"].take(name, beside, "s", below=SMALL_SECONDS, peer=peer)
    assert beside < SMALL_SECONDS


def tarred_files() -> bytes:
    return tar_gz(*(member(str(number), b"") for number in range(EMPTY_FILES)))


def zipped_files() -> bytes:
    return zipped(*((str(number), b"") for number in range(EMPTY_FILES)), compression=0)


@pytest.mark.parametrize(
    ("name", "build", "words"),
    [
        ("m.tar.gz", tarred_files, "it has more than 2000 entries"),
        ("m.zip", zipped_files, "its headers are too long"),
    ],
)
async def test_archive_of_many_empty_files_takes_few_inodes(
    tmp_path: Path, pytestconfig: pytest.Config, name: str, build: Callable[[], bytes], words: str
) -> None:
    most, limit = 0, AgentSettings().max_files
    async with agent_process(tmp_path) as agent:
        agent.site.serve(f"/many/{name}", build(), {"ETag": '"1"'})

        async def refused() -> bool:
            nonlocal most
            most = max(most, agent.files())
            model = await agent.model("many")
            return bool(model and words in model.message)

        many = agent.entry("many", name)
        before = agent.files()
        agent.config.write(many)
        await eventually(refused, words, LIMIT, 0.01)
        assert (await agent.has("many", "DownloadFailed")).permanent
        await eventually(lambda: agent.files() <= before, "nothing of the archive is left")
        await agent.loads("small", many)
    title = f"{name} of {EMPTY_FILES} empty files: most inodes used"
    reports(pytestconfig)["tenants"].take(title, most - before, "inodes", below=limit + 10)
    assert most - before < limit + 10


async def test_models_larger_than_the_volume_are_refused_with_the_figures(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    most, part = 0, bytes(MIB // 4)
    async with agent_process(tmp_path, MANYSERVE_VOLUME_BYTES=str(VOLUME)) as agent:
        sizes = {"declared": 300 * MIB, "endless": None}
        for name, size in sizes.items():
            agent.site.handlers[f"/{name}/content"] = partial(stream, size=size, parts=repeat(part))

        async def refused() -> bool:
            nonlocal most
            most = max(most, disk_use(agent.volume))
            models = [await agent.model(name) for name in sizes]
            return all(model and "but the volume has" in model.message for model in models)

        entries = [agent.entry(name) for name in sizes]
        agent.config.write(*entries)
        await eventually(refused, "both are refused", LIMIT, 0.01)
        message = (await agent.has("declared", "DownloadFailed")).message
        assert "needs 314572800 bytes, but the volume has " in message
        assert message.endswith(" for other downloads and 67108864 in reserve")
        await agent.has("endless", "DownloadFailed", "needs more, but the volume has ")
        await agent.loads("small", *entries)
    share = 100 * most / VOLUME
    reports(pytestconfig)["tenants"].take("models larger than the volume: use of its limit", share, "%", below=100)
    assert most < VOLUME
