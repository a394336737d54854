"""Faults of web servers: wrong lengths, stalls, web pages and encoded bodies."""

import gzip
from pathlib import Path

import pytest
from aiohttp import web

from manyserve.agent.settings import AgentSettings
from tests.agent.download.archives import tar_gz
from tests.agent.download.fetching import fetch, fetch_error, make_downloader
from tests.agent.download.webserver import RawSite, Site, Trust
from tests.support.eventually import eventually

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.mark.parametrize("header", [b'ETag: "\xff"', b"Last-Modified: \xff"])
async def test_http_version_with_invalid_bytes_is_accepted(
    trust: Trust, config: AgentSettings, tmp_path: Path, header: bytes
) -> None:
    raw = RawSite(OK + b"Content-Length: 5\r\n" + header + b"\r\n\r\nmodel")
    server = await raw.start(trust.tls)
    uri = f"https://models.test:{server.sockets[0].getsockname()[1]}/x"
    source = make_downloader(
        config.model_copy(update={"sources": config.sources.model_copy(update={"range_bytes": 2})})
    )
    try:
        assert (await source.find(uri)).fingerprint
        assert await fetch(source, tmp_path, uri) == {"x": b"model"}
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("raw", "words", "permanent"),
    [
        (RawSite(OK + b"Content-Length: 100\r\n\r\nshort"), "was cut short", False),
        (RawSite(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort"), "was cut short", False),
        (RawSite(OK + b"\r\n", endless=b"m" * 65536), "has more bytes than the limit of 1000000", True),
        (RawSite(OK + b"Content-Length: 9999999\r\n\r\n"), "has 9999999 bytes, more than the limit of 1000000", True),
        (RawSite(OK + b"\r\n", *[b"x"] * 100, pause=0.1), "could not be read: it stalled", False),
        (RawSite(*[b"H"] * 100, pause=0.1), "could not be read", False),
        (RawSite(b"SSH-2.0-OpenSSH\r\n"), "could not be read: the connection was lost", False),
        (RawSite(OK + b"X: " + b"x" * 100_000), "could not be read: the connection was lost", False),
        (RawSite(OK + b"", endless=b"X: y\r\n" * 100), "could not be read", False),
        (RawSite(b""), "could not be read: the connection was lost", False),
    ],
)
async def test_input_10_http_server_that_misbehaves_is_reported_in_bounded_time(
    trust: Trust, config: AgentSettings, tmp_path: Path, raw: RawSite, words: str, permanent: bool
) -> None:
    server = await raw.start(trust.tls)
    small = config.model_copy(update={"max_bytes": 1_000_000, "stall_seconds": 1.0 if raw.pause else 60.0})
    uri = f"https://models.test:{server.sockets[0].getsockname()[1]}/x"
    try:
        assert words in await fetch_error(make_downloader(small), tmp_path, uri, permanent=permanent)
        await eventually(lambda: raw.open == 0)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(("announced", "sent"), [(10, 20), (20, 10)])
async def test_input_10_http_body_of_other_length_is_refused(
    site: Site, config: AgentSettings, tmp_path: Path, announced: int, sent: int
) -> None:
    async def send_other_length(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(announced)})
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"m" * sent)
        return answer

    site.handlers["/x"] = send_other_length
    words = "more than its 10 bytes came" if sent > announced else "10 bytes of 20 came"
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=False)
    assert message == f"{site.url('/x')} is not what the server said it is: {words}"


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
async def test_input_10_http_web_page_is_refused(
    site: Site, config: AgentSettings, tmp_path: Path, content_type: str
) -> None:
    for path in ("/model.onnx", "/model.zip", "/model"):
        site.serve(path, b"\n <!DOCTYPE html><html>Log in", {"Content-Type": content_type})
        message = await fetch_error(make_downloader(config), tmp_path, site.url(path), permanent=True)
        assert message == f"{site.url(path)} is no model but a web page, perhaps a login or an error"


async def test_input_10_http_encoded_bomb_stays_encoded(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    site.serve("/x.onnx", bomb, {"Content-Encoding": "gzip"})
    message = await fetch_error(make_downloader(config), tmp_path / "a", site.url("/x.onnx"), permanent=False)
    assert message == f"{site.url('/x.onnx')} was sent as gzip, which was not asked for"
    assert site.requests[0].headers["Accept-Encoding"] == "identity"
    assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) == len(bomb)


async def test_input_10_http_bad_archive_is_refused(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    site.serve("/m.tar.gz", tar_gz())
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/m.tar.gz"), permanent=True)
    assert message == f"{site.url('/m.tar.gz')} is called an archive, but its content is no tar, tar.gz or zip"
