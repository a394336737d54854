"""Models from web servers, over real TLS, and everything that a web server may do instead of giving one."""

import asyncio
import base64
import gzip
import hashlib
import os
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http import HttpDownloader, web_of
from manyserve.agent.settings import AgentSettings
from manyserve.agent.sources import SourceSettings
from tests.agent.archives import contents, open_files, tar_gz, tar_of, zipped
from tests.agent.support import Counted, eventually
from tests.agent.webserver import Names, RawSite, Site, Trust, make_trust

MODEL = os.urandom(700_000)
LOOPBACK = (ip_network("127.0.0.1/32"),)


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
async def site(trust: Trust) -> AsyncIterator[Site]:
    site = Site()
    server = await site.start(trust.tls)
    yield site
    await server.close()


@pytest.fixture
def config(trust: Trust, tmp_path: Path) -> AgentSettings:
    sources = SourceSettings(
        allowed_networks=LOOPBACK, ca_file=trust.ca_file, credentials_dir=tmp_path / "secrets", range_bytes=100_000
    )
    return AgentSettings(sources=sources, stall_seconds=10)


def reader(config: AgentSettings, names: Names | None = None) -> HttpDownloader:
    found = replace(web_of(config), lookup=names or Names())
    secrets = Secrets(config.sources.credentials_dir)
    return HttpDownloader(config, secrets, asyncio.Semaphore(config.parallel_files), found)


def allowing_http(config: AgentSettings) -> AgentSettings:
    return replace(config, sources=replace(config.sources, allow_http=True))


async def fetched(source: Downloader, folder: Path, uri: str) -> dict[str, bytes]:
    counted = Counted()
    listing = await source.find(uri)
    await source.fetch(listing, folder, counted)
    assert counted.came
    assert counted.came >= listing.size
    return contents(folder)


async def fails(source: Downloader, folder: Path, uri: str, *, permanent: bool) -> str:
    """Return what is said of a URI that cannot be read."""
    async with asyncio.timeout(20):
        with pytest.raises(DownloadError) as caught:
            await fetched(source, folder, uri)
    assert caught.value.permanent is permanent, str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


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


def _base64(name: str, data: bytes = b"model") -> str:
    return base64.b64encode(hashlib.new(name, data).digest()).decode()


CHECKSUMS = {
    "Content-MD5": "{md5}",
    "Digest": "sha-256={sha256}",
    "Repr-Digest": "sha-256=:{sha256}:, md5=:{md5}:",
    "Content-Digest": "sha-512=:{sha512}:",
    "x-goog-hash": "crc32c=AAAAAA==,md5={md5}",
    "x-amz-checksum-sha1": "{sha1}",
    "x-amz-checksum-crc32": "{crc32}",
}


@pytest.mark.parametrize("header", CHECKSUMS)
async def test_a_checksum_that_the_server_tells_is_checked(
    site: Site, config: AgentSettings, tmp_path: Path, header: str
) -> None:
    crc = base64.b64encode(zlib.crc32(b"model").to_bytes(4, "big")).decode()
    right = {name: _base64(name) for name in ("md5", "sha1", "sha256", "sha512")} | {"crc32": crc}
    headers = {header: CHECKSUMS[header].format(**right)}
    site.gives("/x.onnx", b"model", headers)
    assert await fetched(reader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": b"model"}
    site.gives("/x.onnx", b"madel", headers)
    words = await fails(reader(config), tmp_path / "b", site.url("/x.onnx"), permanent=False)
    assert "did not arrive as it was sent: its " in words


async def test_a_checksum_of_checksums_or_in_an_unknown_way_is_left_aside(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives(
        "/x", b"model", {"x-amz-checksum-sha256": _base64("sha256") + "-3", "Digest": "md4=AAAA, unixsum=30637, ,="}
    )
    assert await fetched(reader(config), tmp_path / "a", site.url("/x")) == {"x": b"model"}


def secret(config: AgentSettings, name: str, host: str, headers: str) -> None:
    folder = config.sources.credentials_dir / name
    folder.mkdir(parents=True)
    (folder / "https-host").write_text(host)
    (folder / "headers").write_text(headers)


async def test_headers_of_a_secret_go_to_its_host_and_never_further(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    secret(config, "mine", "models.test", '{"X-Token": "s3cret"}')
    secret(config, "other", "other.test", '{"X-Other": "s3cret"}')
    site.leads("/x.onnx", site.url("/here"))
    site.leads("/here", site.url("/there", host="cdn.test"))
    site.leads("/there", site.url("/back"))
    site.gives("/back", b"1")
    assert await fetched(reader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": b"1"}
    sent = {request.path: request.headers.get("X-Token") for request in site.seen}
    assert sent == {"/x.onnx": "s3cret", "/here": "s3cret", "/there": None, "/back": None}
    assert not any("X-Other" in request.headers for request in site.seen)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ("s3cret", "must be a JSON object of header names and texts"),
        ('["s3cret"]', "must be a JSON object"),
        ('{"X-Token": 5}', "must be a JSON object"),
        ('{"X-Token": "s3cret\\r\\nHost: x"}', "must be a JSON object"),
        ('{"X Token": "s3cret"}', "must be a JSON object"),
        ('{"Range": "s3cret"}', "has Range, which the agent sets itself"),
    ],
)
async def test_headers_that_are_none_are_named_without_their_content(
    site: Site, config: AgentSettings, tmp_path: Path, headers: str, words: str
) -> None:
    secret(config, "mine", f"models.test:{site.port}", headers)
    said = await fails(reader(config), tmp_path, site.url("/x"), permanent=True)
    assert said.startswith("the key headers of the secret mine ")
    assert words in said
    assert "s3cret" not in said
    assert not site.seen


@pytest.mark.parametrize(
    ("status", "words", "permanent"),
    [
        (401, "may not be read: the server answered 401", True),
        (403, "may not be read: the server answered 403", True),
        (404, "was not found: the server answered 404", True),
        (410, "was not found: the server answered 410", True),
        (429, "could not be read: the server answered 429", False),
        (503, "could not be read: the server answered 503", False),
    ],
)
async def test_a_status_is_a_sentence(
    site: Site, config: AgentSettings, tmp_path: Path, status: int, words: str, permanent: bool
) -> None:
    site.gives("/x", b"secret", status=status)
    uri = site.url("/x")
    assert await fails(reader(config), tmp_path, uri, permanent=permanent) == f"{uri} {words}"


async def test_what_is_secret_in_a_uri_is_never_repeated(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    said = await fails(reader(config), tmp_path, site.url("/x?sig=s3cret"), permanent=True)
    assert "s3cret" not in said
    named = site.url("/x").replace("https://", "https://user:s3cret@")
    said = await fails(reader(config), tmp_path, named, permanent=True)
    assert "names a user; what is secret belongs into a secret with https-host and headers" in said
    assert "s3cret" not in said


async def test_a_certificate_that_nobody_vouches_for_is_named(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    unknown = replace(config, sources=replace(config.sources, ca_file=None))
    assert "its certificate is not trusted" in await fails(reader(unknown), tmp_path, site.url("/x"), permanent=True)
    elsewhere = site.url("/x", host="wrong.test")
    assert "its certificate is not trusted" in await fails(reader(config), tmp_path, elsewhere, permanent=True)
    assert not site.seen


async def test_a_host_that_is_not_there_is_named(config: AgentSettings, tmp_path: Path) -> None:
    words = "could not be read: its host is not reached"
    assert words in await fails(reader(config), tmp_path, "https://models.test:1/x", permanent=False)
    source = HttpDownloader(config, Secrets(tmp_path), asyncio.Semaphore(1))  # the system resolves
    words = "could not be read: the name of its host is not known"
    assert words in await fails(source, tmp_path, "https://does-not-exist.invalid/x", permanent=False)


REFUSED_LITERALS = {
    "https://169.254.169.254/": "169.254.169.254 is an address of the cloud's own services",
    "https://[::ffff:169.254.169.254]/x": "::ffff:a9fe:a9fe is an address of the cloud's own services",
    "https://2130706433/": "2130706433 is an address in an odd spelling",
    "https://0x7f.1/": "0x7f.1 is an address in an odd spelling",
    "https://0177.0.0.1/x": "0177.0.0.1 is an address in an odd spelling",
    "https://[::1]/x": "::1 is a loopback address",
    "https://10.0.0.1/x": "10.0.0.1 is a private address",
    "https://127.0.0.1./x": "127.0.0.1. is a loopback address",
    "https://①②⑦.0.0.1/x": "127.0.0.1 is a loopback address",
}


@pytest.mark.parametrize("uri", REFUSED_LITERALS)
async def test_input_08_an_address_that_is_not_public_is_refused(
    config: AgentSettings, tmp_path: Path, uri: str
) -> None:
    strict = replace(config, sources=replace(config.sources, allowed_networks=()))
    said = await fails(reader(strict), tmp_path, uri, permanent=True)
    assert said.startswith(f"{uri} may not be read: {REFUSED_LITERALS[uri]}")


@pytest.mark.parametrize(
    ("host", "address", "kind"),
    [
        ("localhost", "127.0.0.1", "a loopback address"),
        ("metadata.google.internal", "169.254.169.254", "an address of the cloud's own services"),
        ("db.default.svc.cluster.local", "10.96.0.7", "a private address"),
        ("public.test", "fe80::1%eth0", "a link-local address"),
        ("pods.test", "100.64.3.4", "not a public address"),
    ],
)
async def test_input_08_a_name_that_leads_inside_is_refused(
    config: AgentSettings, tmp_path: Path, host: str, address: str, kind: str
) -> None:
    strict = replace(config, sources=replace(config.sources, allowed_networks=()))
    uri = f"https://{host}:8080/v2/models"
    said = await fails(reader(strict, Names({host: [[address]]})), tmp_path, uri, permanent=True)
    assert said == (
        f"{uri} may not be read: {host} leads to {kind}; "
        "allowed are public addresses and those in MANYSERVE_ALLOWED_NETWORKS"
    )


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("https://127.0.0.2/x", "it is redirected, and 127.0.0.2 is a loopback address"),
        ("https://inner.test/x", "it is redirected, and inner.test leads to a private address"),
        ("//169.254.169.254/latest", "it is redirected, and 169.254.169.254 is an address of the cloud's own services"),
        ("http://models.test/x", "models.test leads from https to http"),
        ("file:///etc/shadow", "it is redirected, and it names no host"),
        ("ftp://models.test/x", "it is redirected, and ftp:// is not allowed, only https://"),
        ("https://user:s3cret@cdn.test/x", "it is redirected, and it names a user"),
        ("https://[::1/x", "it leads to what is no URL"),
    ],
)
async def test_input_09_a_redirect_to_where_nothing_may_be_read_is_refused(
    site: Site, config: AgentSettings, tmp_path: Path, to: str, words: str
) -> None:
    site.leads("/x", to)
    uri = site.url("/x")
    said = await fails(reader(config, Names({"inner.test": [["10.1.1.1"]]})), tmp_path, uri, permanent=True)
    assert said.startswith(f"{uri} may not be read: {words}")
    assert "s3cret" not in said
    assert [request.path for request in site.seen] == ["/x"]


async def test_input_09_https_never_becomes_http_even_where_http_is_allowed(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.leads("/x", "http://models.test/x")
    said = await fails(reader(allowing_http(config)), tmp_path, site.url("/x"), permanent=True)
    assert "models.test leads from https to http" in said


async def test_input_09_a_loop_and_a_long_way_of_redirects_end(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.leads("/a", "/b")
    site.leads("/b", "/a")
    assert "the redirects lead in a circle" in await fails(reader(config), tmp_path, site.url("/a"), permanent=True)
    for number in range(20):
        site.leads(f"/{number}", f"/{number + 1}")
    words = "there are more than 10 redirects"
    assert words in await fails(reader(config), tmp_path, site.url("/0"), permanent=True)
    site.gives("/10", b"1")
    assert await fetched(reader(config), tmp_path / "a", site.url("/0")) == {"0": b"1"}


async def test_input_09_what_is_connected_to_is_the_address_that_was_checked(
    site: Site, trust: Trust, config: AgentSettings, tmp_path: Path
) -> None:
    inner = Site()
    inner.gives("/x", b"not for you")
    server = TestServer(web.Application(), host="127.0.0.2", port=site.port, scheme="https")
    server.app.router.add_route("*", "/{path:.*}", inner.handle)
    await server.start_server(ssl=trust.tls)
    try:
        site.gives("/x", b"model")
        source = reader(config, Names({"models.test": [["127.0.0.1"], ["127.0.0.2"]]}))
        listing = await source.find(site.url("/x"))  # the DNS changes after this
        with pytest.raises(DownloadError, match=r"models\.test leads to a loopback address"):
            await source.fetch(listing, tmp_path, Counted())
        assert not inner.seen
    finally:
        await server.close()


OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


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
async def test_input_10_a_server_that_misbehaves_is_named_in_bounded_time(
    trust: Trust, config: AgentSettings, tmp_path: Path, raw: RawSite, words: str, permanent: bool
) -> None:
    server = await raw.start(trust.tls)
    small = replace(config, max_bytes=1_000_000, stall_seconds=1.0)
    uri = f"https://models.test:{server.sockets[0].getsockname()[1]}/x"
    try:
        assert words in await fails(reader(small), tmp_path, uri, permanent=permanent)
        await eventually(lambda: raw.open == 0)
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(("told", "comes"), [(10, 20), (20, 10)])
async def test_input_10_a_body_that_is_not_of_the_length_that_was_told(
    site: Site, config: AgentSettings, tmp_path: Path, told: int, comes: int
) -> None:
    async def lying(request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(told)})
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"m" * comes)
        return answer

    site.handlers["/x"] = lying
    words = "more than its 10 bytes came" if comes > told else "10 bytes of 20 came"
    said = await fails(reader(config), tmp_path, site.url("/x"), permanent=False)
    assert said == f"{site.url('/x')} is not what the server said it is: {words}"


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
async def test_input_10_a_web_page_is_no_model(
    site: Site, config: AgentSettings, tmp_path: Path, content_type: str
) -> None:
    for path in ("/model.onnx", "/model.zip", "/model"):
        site.gives(path, b"\n <!DOCTYPE html><html>Log in", {"Content-Type": content_type})
        said = await fails(reader(config), tmp_path, site.url(path), permanent=True)
        assert said == f"{site.url(path)} is no model but a web page, perhaps a login or an error"


async def test_input_10_a_bomb_in_the_transfer_stays_packed(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    site.gives("/x.onnx", bomb, {"Content-Encoding": "gzip"})
    said = await fails(reader(config), tmp_path / "a", site.url("/x.onnx"), permanent=False)
    assert said == f"{site.url('/x.onnx')} was sent as gzip, which was not asked for"
    assert site.seen[0].headers["Accept-Encoding"] == "identity"
    assert sum(path.stat().st_size for path in (tmp_path / "a").iterdir()) == len(bomb)


async def test_input_10_an_archive_that_is_refused_leaves_its_sentence(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/m.tar.gz", tar_gz())
    said = await fails(reader(config), tmp_path, site.url("/m.tar.gz"), permanent=True)
    assert said == f"{site.url('/m.tar.gz')} is called an archive, but its content is no tar, tar.gz or zip"


async def test_an_empty_file_and_a_url_without_a_name_are_no_model(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/x", b"")
    assert await fails(reader(config), tmp_path, site.url("/x"), permanent=False) == f"{site.url('/x')} is empty"
    site.gives("/", b"model")
    said = await fails(reader(config), tmp_path, site.url("/"), permanent=True)
    assert said == f"{site.url('/')} does not name a file"


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
    await eventually(lambda: open_files(tmp_path) > files)
    download.cancel()
    await asyncio.wait({download})
    assert download.cancelled()
    assert open_files(tmp_path) == files
    await eventually(lambda: not (asyncio.all_tasks() - before - {download} - server_tasks()))


def server_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)}


async def test_unpacking_stops_when_the_download_is_cancelled(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/m.zip", zipped(*((f"f{number}", b"x" * 1000) for number in range(900))))
    source = reader(config)
    listing = await source.find(site.url("/m.zip"))

    class Stopping(Counted):
        def stored(self, count: int) -> None:
            if self.lies > listing.size:
                download.cancel()
            super().stored(count)

    download = asyncio.create_task(source.fetch(listing, tmp_path, Stopping()))
    await asyncio.wait({download})
    assert download.cancelled()
    assert 0 < len(contents(tmp_path)) < 200
    assert open_files(tmp_path) == 0


async def test_no_roots_are_a_setting_that_is_wrong(config: AgentSettings, tmp_path: Path) -> None:
    wrong = replace(config, sources=replace(config.sources, ca_file=tmp_path / "none.pem"))
    said = await fails(reader(wrong), tmp_path, "https://models.test/x", permanent=False)
    assert said.startswith(f"the certificates in {tmp_path}/none.pem could not be read")
