"""Downloads of files and archives from web servers, over real TLS."""

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
from tests.agent.download.archives import contents, open_files, tar_of, zipped
from tests.agent.download.fetching import fetch, fetch_error, make_downloader, with_http
from tests.agent.download.webserver import Site, Trust
from tests.agent.support import Counted
from tests.support.eventually import eventually

MODEL = os.urandom(700_000)


async def test_http_file_keeps_name_of_url(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.serve("/a/model.onnx", MODEL)
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/a/model.onnx")) == {"model.onnx": MODEL}
    site.serve("/a/ein modell", b"1")
    assert await fetch(make_downloader(config), tmp_path / "b", site.url("/a/ein%20modell")) == {"ein modell": b"1"}


async def test_http_archive_is_unpacked_with_any_content_type(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    files = [("config.pbtxt", b"c"), ("1/model.onnx", b"m" * 1000)]
    site.serve("/m.tar", tar_of(files), {"Content-Type": "text/html"})
    site.serve("/m.tgz", gzip.compress(tar_of(files)), {"Content-Encoding": "x-gzip"})
    site.serve("/m.zip", zipped(*files), {"Content-Type": "application/x-tar"})
    for path in ("/m.tar", "/m.tgz", "/m.zip"):
        assert await fetch(make_downloader(config), tmp_path / path[1:], site.url(path)) == dict(files)


async def test_http_scheme_needs_permission_of_settings(config: AgentSettings, tmp_path: Path) -> None:
    site = Site()
    site.serve("/x.onnx", b"1")
    server = await site.start(None)
    try:
        uri = site.url("/x.onnx", scheme="http")
        assert await fetch_error(make_downloader(config), tmp_path, uri, permanent=True) == (
            f"{uri} may not be read: http:// is not allowed, only https://"
        )
        assert not site.requests
        assert await fetch(make_downloader(with_http(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}
    finally:
        await server.close()


async def test_http_downloader_is_chosen_for_https(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.serve("/x.onnx", b"1")
    uri = site.url("/x.onnx", host="127.0.0.1")
    assert await fetch(choose(uri, downloaders(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}


async def test_http_large_file_is_read_in_ranges_of_one_version(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x.onnx", MODEL, {"ETag": '"v1"'})
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    gets = [request.headers for request in site.requests if request.method == "GET"]
    assert {(each["Range"], each["If-Range"]) for each in gets} == {
        (f"bytes={start}-{start + 99_999}", '"v1"') for start in range(0, 700_000, 100_000)
    }


@pytest.mark.parametrize("tag", ['W/"v1"', ""])
async def test_http_large_file_without_strong_etag_is_read_in_one_piece(
    site: Site, config: AgentSettings, tmp_path: Path, tag: str
) -> None:
    site.serve("/x.onnx", MODEL, {"ETag": tag} if tag else {})
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    assert [request.method for request in site.requests] == ["HEAD", "GET"]


async def test_http_server_without_ranges_sends_whole_file(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    async def whole(_: web.Request) -> web.StreamResponse:
        return web.Response(body=MODEL, headers={"ETag": '"v1"'})

    site.handlers["/x.onnx"] = whole
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}
    assert len(site.requests) == 2


async def test_http_file_that_changes_between_ranges_is_no_permanent_error(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x.onnx", MODEL, {"ETag": '"v1"'})
    source = make_downloader(config)
    listing = await source.find(site.url("/x.onnx"))
    first = site.handlers["/x.onnx"]

    async def changing(request: web.Request) -> web.StreamResponse:
        answer = await first(request)
        site.serve("/x.onnx", MODEL[::-1], {"ETag": '"v2"'})
        return answer

    site.handlers["/x.onnx"] = changing
    with pytest.raises(DownloadError, match="changed while it was downloaded") as caught:
        await source.fetch(listing, tmp_path, Counted())
    assert not caught.value.permanent


async def test_http_listing_has_size_and_version(site: Site, config: AgentSettings) -> None:
    source, uri = make_downloader(config), site.url("/x.onnx")
    site.serve("/x.onnx", b"123", {"ETag": '"v1"'})
    before = await source.find(uri)
    assert (before.size, before.files[0].version) == (3, '"v1"')
    assert (await source.find(uri)).fingerprint == before.fingerprint
    site.serve("/x.onnx", b"123", {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})
    after = await source.find(uri)
    assert after.fingerprint != before.fingerprint
    assert after.files[0].version.startswith("Thu")


async def test_http_server_without_head_gets_request_for_first_byte(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x.onnx", MODEL, {"ETag": '"v1"'})
    given = site.handlers["/x.onnx"]

    async def no_head(request: web.Request) -> web.StreamResponse:
        return web.Response(status=405) if request.method == "HEAD" else await given(request)

    site.handlers["/x.onnx"] = no_head
    source = make_downloader(config)
    assert (await source.find(site.url("/x.onnx"))).size == len(MODEL)
    assert site.requests[-1].headers["Range"] == "bytes=0-0"
    assert await fetch(source, tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": MODEL}


async def test_http_download_ends_when_volume_is_full(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    class Full(Counted):
        def stored(self, count: int) -> None:
            super().stored(count)
            if self.lies > 1_000_000:
                raise DownloadError("the volume is full", reason="disk")

    site.serve("/m.tar", tar_of([("a", MODEL)]))
    source = make_downloader(config)
    listing = await source.find(site.url("/m.tar"))
    with pytest.raises(DownloadError, match="the volume is full"):
        await source.fetch(listing, tmp_path, Full())


@pytest.mark.parametrize("path", ["/hangs", "/drips"])
async def test_http_download_that_is_cancelled_closes_files_and_tasks(
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
    source = make_downloader(config)
    listing = await source.find(site.url(path))
    before = asyncio.all_tasks()
    files = open_files(tmp_path)
    download = asyncio.create_task(source.fetch(listing, tmp_path, Counted()))
    await begun.wait()
    await eventually(lambda: open_files(tmp_path) > files)
    download.cancel()
    await asyncio.wait({download})
    assert download.cancelled()
    assert open_files(tmp_path) == files
    await eventually(lambda: not (asyncio.all_tasks() - before - {download} - server_tasks()))


def server_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)}


async def test_http_unpacking_stops_when_cancelled(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.serve("/m.zip", zipped(*((f"f{number}", b"x" * 1000) for number in range(900))))
    source = make_downloader(config)
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
def test_http_headers_have_size_and_version(headers: dict[str, str], size: int, version: str) -> None:
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
def test_http_file_name_is_valid_last_part_of_path(url: str, name: str) -> None:
    assert file_name(URL(url)) == name
