"""Refused addresses and redirects of the HTTP client."""

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download import DownloadError
from manyserve.agent.settings import AgentSettings
from tests.agent.download.fetching import fetch, fetch_error, make_downloader, with_http
from tests.agent.download.webserver import FakeDns, Site, Trust
from tests.agent.support import Counted

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
async def test_input_08_http_url_of_internal_address_is_refused(
    config: AgentSettings, tmp_path: Path, uri: str
) -> None:
    strict = config.model_copy(update={"sources": config.sources.model_copy(update={"allowed_networks": ()})})
    message = await fetch_error(make_downloader(strict), tmp_path, uri, permanent=True)
    assert message.startswith(f"{uri} may not be read: {REFUSED_LITERALS[uri]}")


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
async def test_input_08_http_host_name_of_internal_address_is_refused(
    config: AgentSettings, tmp_path: Path, host: str, address: str, kind: str
) -> None:
    strict = config.model_copy(update={"sources": config.sources.model_copy(update={"allowed_networks": ()})})
    uri = f"https://{host}:8080/v2/models"
    message = await fetch_error(make_downloader(strict, FakeDns({host: [[address]]})), tmp_path, uri, permanent=True)
    assert message == (
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
        ("https://[::1/x", "it leads to an invalid URL"),
        ("https://other.test:99999/x", "it leads to an invalid URL"),
        ("//other.test:-1/", "it leads to an invalid URL"),
    ],
)
async def test_input_09_http_redirect_to_forbidden_url_is_refused(
    site: Site, config: AgentSettings, tmp_path: Path, to: str, words: str
) -> None:
    site.redirect("/x", to)
    uri = site.url("/x")
    message = await fetch_error(
        make_downloader(config, FakeDns({"inner.test": [["10.1.1.1"]]})), tmp_path, uri, permanent=True
    )
    assert message.startswith(f"{uri} may not be read: {words}")
    assert "s3cret" not in message
    assert [request.path for request in site.requests] == ["/x"]


async def test_input_09_http_redirect_from_https_to_http_is_refused(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.redirect("/x", "http://models.test/x")
    message = await fetch_error(make_downloader(with_http(config)), tmp_path, site.url("/x"), permanent=True)
    assert "models.test leads from https to http" in message


async def test_input_09_http_redirects_in_loop_or_long_chain_end(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.redirect("/a", "/b")
    site.redirect("/b", "/a")
    assert "the redirects lead in a circle" in await fetch_error(
        make_downloader(config), tmp_path, site.url("/a"), permanent=True
    )
    for number in range(20):
        site.redirect(f"/{number}", f"/{number + 1}")
    words = "there are more than 10 redirects"
    assert words in await fetch_error(make_downloader(config), tmp_path, site.url("/0"), permanent=True)
    site.serve("/10", b"1")
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/0")) == {"0": b"1"}


async def test_input_09_http_connection_uses_checked_address(
    site: Site, trust: Trust, config: AgentSettings, tmp_path: Path
) -> None:
    inner = Site()
    inner.serve("/x", b"not for you")
    server = TestServer(web.Application(), host="127.0.0.2", port=site.port, scheme="https")
    server.app.router.add_route("*", "/{path:.*}", inner.handle)
    await server.start_server(ssl=trust.tls)
    try:
        site.serve("/x", b"model")
        source = make_downloader(config, FakeDns({"models.test": [["127.0.0.1"], ["127.0.0.2"]]}))
        listing = await source.find(site.url("/x"))  # the DNS changes after this
        with pytest.raises(DownloadError, match=r"models\.test leads to a loopback address"):
            await source.fetch(listing, tmp_path, Counted())
        assert not inner.requests
    finally:
        await server.close()


async def test_http_client_ignores_proxy_of_environment(
    site: Site, config: AgentSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    site.serve("/x", b"model")
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x")) == {"x": b"model"}
