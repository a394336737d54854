"""Refresh of files behind web servers and caches: the version that was read counts; a server without one is named."""

from dataclasses import dataclass

import pytest
from aiohttp import web

from manyserve.agent import retry
from manyserve.agent.settings import AgentSettings
from tests.agent.download.webserver import Site
from tests.agent.support import Pod, entry
from tests.support.eventually import eventually

pytestmark = pytest.mark.usefixtures("short_waits")

REMARK = "a refresh notices another size only: the server of the files sends neither ETag nor Last-Modified"


@dataclass
class Cache:
    """A cache that answers HEAD and GET with different validators."""

    head: dict[str, str]
    get: dict[str, str]
    body: bytes
    reads: int = 0
    heads: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "HEAD":
            self.heads += 1
            return web.Response(headers=self.head | {"Content-Length": str(len(self.body))})
        self.reads += 1
        return web.Response(body=self.body, headers=self.get)


async def started(pod: Pod, site: Site, config: AgentSettings, cache: Cache, **spec: str) -> None:
    site.handlers["/content"] = cache.answer
    pod.settings = pod.settings.model_copy(update={"sources": config.sources})
    pod.config.write(entry("a", site.url("/content", host="127.0.0.1"), **spec))
    await pod.start()
    await pod.shows(a="Loaded")


@pytest.fixture(autouse=True)
def short_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "SHORTEST_REFRESH", 0.05)


async def test_refresh_compares_with_the_version_that_was_read(pod: Pod, site: Site, config: AgentSettings) -> None:
    cache = Cache({"ETag": '"new"'}, {"ETag": '"old"'}, b"old")
    await started(pod, site, config, cache, refreshInterval="98ms")
    await eventually(lambda: cache.reads >= 3)
    assert pod.triton.calls == ["load a"], "the same version is not loaded again"
    assert pod.triton.served == {"a": "old"}
    cache.get, cache.body = {"ETag": '"new"'}, b"new"
    await eventually(lambda: pod.triton.served == {"a": "new"})
    await pod.shows(a="Loaded")
    heads, reads = cache.heads, cache.reads
    await eventually(lambda: cache.heads > heads + 3)
    assert cache.reads <= reads + 1, "both have the same version now"
    assert pod.model("a").message == ""


async def test_refresh_takes_weak_etag_for_the_same_version(pod: Pod, site: Site, config: AgentSettings) -> None:
    cache = Cache({"ETag": '"1"'}, {"ETag": 'W/"1"'}, b"x")
    await started(pod, site, config, cache, refreshInterval="98ms")
    await eventually(lambda: cache.heads > 6)
    assert cache.reads == 1


async def test_response_without_version_is_read_again_and_loaded(pod: Pod, site: Site, config: AgentSettings) -> None:
    cache = Cache({"ETag": '"1"'}, {}, b"old")
    await started(pod, site, config, cache, refreshInterval="98ms")
    cache.body = b"new"
    await eventually(lambda: pod.triton.served == {"a": "new"})
    assert pod.model("a").message == ""


@pytest.mark.parametrize(("interval", "remark"), [({"refreshInterval": "98ms"}, REMARK), ({}, "")])
async def test_refresh_without_any_version_is_reported_as_blind(
    pod: Pod, site: Site, config: AgentSettings, interval: dict[str, str], remark: str
) -> None:
    cache = Cache({}, {}, b"old")
    await started(pod, site, config, cache, **interval)
    await eventually(lambda: pod.model("a").message == remark)
    assert pod.states() == {"a": "Loaded"}
    cache.get = cache.head = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    if interval:
        await eventually(lambda: pod.model("a").message == "")


async def test_changed_part_of_a_large_file_is_refused(site: Site, config: AgentSettings, pod: Pod) -> None:
    """The cache ignores If-Range, and has parts of another version."""
    body = b"x" * 250_000

    async def answer(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(len(body)), "ETag": '"1"'})
        span = request.http_range
        start, etag = span.start or 0, '"2"' if span.start else '"1"'
        part = body[span]
        ranged = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(body)}", "ETag": etag}
        return web.Response(status=206, body=part, headers=ranged)

    site.handlers["/content"] = answer
    pod.settings = pod.settings.model_copy(update={"sources": config.sources})
    pod.config.write(entry("a", site.url("/content", host="127.0.0.1")))
    await pod.start()
    await pod.shows(a="DownloadFailed")
    await eventually(lambda: pod.model("a").message.endswith("changed while it was downloaded"))
