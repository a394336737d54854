"""Models from web servers, over real TLS."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from manyserve.agent.download import DownloadError, choose, downloaders
from manyserve.agent.download.http.downloader import file_name, size_and_version
from manyserve.agent.settings import AgentSettings
from tests.agent.sources.archives import contents, open_files, tar_of, zipped
from tests.agent.sources.asking import allowing_http, fails, fetched, reader
from tests.agent.sources.webserver import Site, Trust
from tests.agent.support import Counted
from tests.support.eventually import eventually

MODEL = os.urandom(700_000)


async def test_a_file_keeps_the_name_of_its_url(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.gives("/a/model.onnx", MODEL)
    assert await fetched(reader(config), tmp_path / "a", site.url("/a/model.onnx")) == {"model.onnx": MODEL}
    site.gives("/a/ein modell", b"1")
    assert await fetched(reader(config), tmp_path / "b", site.url("/a/ein%20modell")) == {"ein modell": b"1"}


async def test_archives_are_unpacked_whatever_their_content_type(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    files = [("config.pbtxt", b"c"), ("1/model.onnx", b"m" * 1000)]
    site.gives("/m.tar", tar_of(files), {"Content-Type": "text/html"})
    site.gives("/m.tgz", gzip.compress(tar_of(files)), {"Content-Encoding": "x-gzip"})
    site.gives("/m.zip", zipped(*files), {"Content-Type": "application/x-tar"})
    for path in ("/m.tar", "/m.tgz", "/m.zip"):
        assert await fetched(reader(config), tmp_path / path[1:], site.url(path)) == dict(files)


async def test_http_is_read_only_where_it_is_allowed(config: AgentSettings, tmp_path: Path) -> None:
    site = Site()
    site.gives("/x.onnx", b"1")
    server = await site.start(None)
    try:
        uri = site.url("/x.onnx", scheme="http")
        assert await fails(reader(config), tmp_path, uri, permanent=True) == (
            f"{uri} may not be read: http:// is not allowed, only https://"
        )
        assert not site.seen
        assert await fetched(reader(allowing_http(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}
    finally:
        await server.close()


async def test_the_agent_chooses_it_for_https(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.gives("/x.onnx", b"1")
    uri = site.url("/x.onnx", host="127.0.0.1")
    assert await fetched(choose(uri, downloaders(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}


async def test_a_large_file_is_read_in_ranges_of_one_version(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.gives("/x.onnx", MODEL, {"ETag": '"v1"'})
    assert await fetched(reader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    gets = [request.headers for request in site.seen if request.method == "GET"]
    assert {(each["Range"], each["If-Range"]) for each in gets} == {
        (f"bytes={start}-{start + 99_999}", '"v1"') for start in range(0, 700_000, 100_000)
    }


@pytest.mark.parametrize("tag", ['W/"v1"', ""])
async def test_a_large_file_is_read_in_one_piece_when_nothing_ties_its_parts_together(
    site: Site, config: AgentSettings, tmp_path: Path, tag: str
) -> None:
    site.gives("/x.onnx", MODEL, {"ETag": tag} if tag else {})
    assert await fetched(reader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    assert [request.method for request in site.seen] == ["HEAD", "GET"]


async def test_a_server_without_ranges_gives_all_at_once(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    async def whole(_: web.Request) -> web.StreamResponse:
        return web.Response(body=MODEL, headers={"ETag": '"v1"'})

    site.handlers["/x.onnx"] = whole
    assert await fetched(reader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    assert len(site.seen) == 2


async def test_a_file_that_changes_between_its_parts_is_read_again_later(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/x.onnx", MODEL, {"ETag": '"v1"'})
    source = reader(config)
    listing = await source.find(site.url("/x.onnx"))
    first = site.handlers["/x.onnx"]

    async def changing(request: web.Request) -> web.StreamResponse:
        answer = await first(request)
        site.gives("/x.onnx", MODEL[::-1], {"ETag": '"v2"'})
        return answer

    site.handlers["/x.onnx"] = changing
    with pytest.raises(DownloadError, match="changed while it was downloaded") as caught:
        await source.fetch(listing, tmp_path, Counted())
    assert not caught.value.permanent


async def test_a_listing_tells_size_and_version(site: Site, config: AgentSettings) -> None:
    source, uri = reader(config), site.url("/x.onnx")
    site.gives("/x.onnx", b"123", {"ETag": '"v1"'})
    before = await source.find(uri)
    assert (before.size, before.files[0].version) == (3, '"v1"')
    assert (await source.find(uri)).fingerprint == before.fingerprint
    site.gives("/x.onnx", b"123", {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})
    after = await source.find(uri)
    assert after.fingerprint != before.fingerprint
    assert after.files[0].version.startswith("Thu")


async def test_a_server_without_head_is_asked_for_the_first_byte(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/x.onnx", MODEL, {"ETag": '"v1"'})
    given = site.handlers["/x.onnx"]

    async def no_head(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405) if request.method == "HEAD" else await given(request)

    site.handlers["/x.onnx"] = no_head
    source = reader(config)
    assert (await source.find(site.url("/x.onnx"))).size == len(MODEL)
    assert site.seen[-1].headers["Range"] == "bytes=0-0"
    assert await fetched(source, tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}


async def test_the_volume_that_is_full_ends_a_download(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    class Full(Counted):
        def stored(self, count: int) -> None:
            super().stored(count)
            if self.lies > 1_000_000:
                raise DownloadError("the volume is full", reason="disk")

    site.gives("/m.tar", tar_of([("a", MODEL)]))
    source = reader(config)
    listing = await source.find(site.url("/m.tar"))
    with pytest.raises(DownloadError, match="the volume is full"):
        await source.fetch(listing, tmp_path, Full())


@pytest.mark.parametrize("path", ["/hangs", "/drips"])
async def test_a_download_that_is_cancelled_leaves_nothing_open(
    trust: Trust, site: Site, config: AgentSettings, tmp_path: Path, path: str
) -> None:
    begun = asyncio.Event()

    async def hangs(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": str(len(MODEL))})
        await answer.prepare(request)
        await answer.write(MODEL[:300_000])
        begun.set()
        await asyncio.sleep(60)
        return answer

    async def head(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(len(MODEL))})
        return await hangs(request)

    site.handlers[path] = head
    source = reader(config)
    listing = await source.find(site.url(path))
    before = asyncio.all_tasks()
    files = open_files(tmp_path)
    download = asyncio.create_task(source.fetch(listing, tmp_path, Counted()))
    await begun.wait()
    await eventually(lambda: open_files(tmp_path) > files, limit=30)
    download.cancel()
    await asyncio.wait({download})
    assert download.cancelled()
    assert open_files(tmp_path) == files
    await eventually(lambda: not (asyncio.all_tasks() - before - {download} - server_tasks()), limit=30)


def server_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)}


async def test_unpacking_stops_when_the_download_is_cancelled(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/m.zip", zipped(*((f"f{number}", b"x" * 1000) for number in range(900))))
    source = reader(config)
    listing = await source.find(site.url("/m.zip"))

    class CancelOnUnpack(Counted):
        def stored(self, count: int) -> None:
            if self.lies > listing.size:
                download.cancel()
            super().stored(count)

    download = asyncio.create_task(source.fetch(listing, tmp_path, CancelOnUnpack()))
    await asyncio.wait({download})
    assert download.cancelled()
    assert 0 < len(contents(tmp_path)) < 200
    assert open_files(tmp_path) == 0


@pytest.mark.parametrize(
    ("headers", "size", "version"),
    [
        ({"Content-Length": "7", "ETag": '"v"'}, 7, '"v"'),
        ({"Content-Length": "1", "Content-Range": "bytes 0-0/7"}, 7, ""),
        ({"Content-Range": "bytes 0-0/*", "Last-Modified": "then"}, 0, "then"),
        ({"Content-Length": "9" * 5000}, 0, ""),
        ({"Content-Length": "-1"}, 0, ""),
    ],
)
def test_size_and_version_are_what_the_headers_tell(headers: dict[str, str], size: int, version: str) -> None:
    assert size_and_version(headers) == (size, version)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/b.onnx?sig=1", "b.onnx"),
        ("https://h/a%2Fb", ""),
        ("https://h/%2e%2e", ""),
        ("https://h/x%00", ""),
        ("https://h/" + "n" * 256, ""),
        ("https://h/", ""),
    ],
)
def test_a_file_has_the_last_part_of_the_path_for_a_name_if_a_file_can(url: str, name: str) -> None:
    assert file_name(URL(url)) == name
