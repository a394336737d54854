"""Headers from a secret for one host."""

import json
from pathlib import Path

import pytest
from yarl import URL

from manyserve.agent.download.credentials import secret_headers
from manyserve.agent.settings import AgentSettings
from tests.agent.download.fetching import fetch, fetch_error, make_downloader, with_http
from tests.agent.download.webserver import Site


def secret(config: AgentSettings, name: str, host: str, headers: str) -> None:
    folder = config.sources.credentials_dir / name
    folder.mkdir(parents=True)
    (folder / "https-host").write_text(host)
    (folder / "headers").write_text(headers)


async def test_http_secret_headers_go_to_their_host_only(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    secret(config, "mine", f"Models.test:{site.port}", '{"X-Token": "s3cret"}')
    secret(config, "other", "other.test", '{"X-Other": "s3cret"}')
    site.redirect("/x.onnx", site.url("/here"))
    site.redirect("/here", site.url("/there", host="cdn.test"))
    site.redirect("/there", site.url("/back"))
    site.serve("/back", b"1")
    assert await fetch(make_downloader(config), tmp_path / "a", site.url("/x.onnx")) == {"x.onnx": b"1"}
    sent = {request.path: request.headers.get("X-Token") for request in site.requests}
    assert sent == {"/x.onnx": "s3cret", "/here": "s3cret", "/there": None, "/back": None}
    assert not any("X-Other" in request.headers for request in site.requests)


@pytest.mark.parametrize(
    ("host", "sent"), [("models.test", None), ("http://models.test", "s3cret"), ("https://models.test", None)]
)
async def test_http_secret_headers_go_over_http_only_if_secret_allows_it(
    config: AgentSettings, tmp_path: Path, host: str, sent: str | None
) -> None:
    site = Site()
    server = await site.start(None)
    site.serve("/x.onnx", b"1")
    secret(config, "mine", f"{host}:{site.port}", '{"X-Token": "s3cret"}')
    uri = site.url("/x.onnx", scheme="http")
    assert await fetch(make_downloader(with_http(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}
    await server.close()
    assert {request.headers.get("X-Token") for request in site.requests} == {sent}


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("https://models.test/x", {"models.test", "models.test:443"}),
        ("https://models.test:443/x", {"models.test", "models.test:443"}),
        ("https://models.test:8443/x", {"models.test:8443"}),
        ("http://models.test/x", {"http://models.test", "http://models.test:80"}),
        ("http://models.test:443/x", {"http://models.test:443"}),
        ("https://[2606:4700::1]/x", {"[2606:4700::1]", "[2606:4700::1]:443", "2606:4700::1"}),
        ("https://[2606:4700::1]:8443/x", {"[2606:4700::1]:8443"}),
    ],
)
def test_http_secret_headers_go_to_their_port_only(uri: str, names: set[str]) -> None:
    places = {"models.test", "models.test:443", "models.test:8443", "models.test:80"}
    places |= {f"http://{place}" for place in places}
    places |= {"[2606:4700::1]", "2606:4700::1", "[2606:4700::1]:443", "[2606:4700::1]:8443"}
    secrets = {place: {"https-host": place, "headers": json.dumps({"X-Token": "s3cret"})} for place in places}
    sent = {place for place in places if secret_headers(URL(uri), {place: secrets[place]})}
    assert sent == names


async def test_http_denied_request_names_secrets_without_headers_for_host(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x", b"no", status=403)
    secret(config, "other", "other.test", '{"X-Token": "s3cret"}')
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=True)
    assert message.endswith(f"403; the secret other does not have https-host for models.test:{site.port} and headers")
    secret(config, "more", "more.test", "{}")
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=True)
    assert message.endswith(
        f"403; none of the secrets more, other has https-host for models.test:{site.port} and headers"
    )
    secret(config, "mine", f"models.test:{site.port}", '{"X-Token": "s3cret"}')
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=True)
    assert message.endswith("the server answered 403")


async def test_http_denied_request_without_tls_names_form_of_key(
    plain: Site, config: AgentSettings, tmp_path: Path
) -> None:
    plain.serve("/x", b"no", status=401)
    secret(config, "mine", "models.test", '{"X-Token": "s3cret"}')
    uri = plain.url("/x", scheme="http")
    message = await fetch_error(make_downloader(with_http(config)), tmp_path, uri, permanent=True)
    assert message.endswith(
        f"401; the secret mine does not have https-host for http://models.test:{plain.port} and headers"
    )


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
async def test_http_secret_headers_that_are_invalid_are_reported_without_content(
    site: Site, config: AgentSettings, tmp_path: Path, headers: str, words: str
) -> None:
    secret(config, "mine", f"models.test:{site.port}", headers)
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=True)
    assert message.startswith("the key headers of the secret mine ")
    assert words in message
    assert "s3cret" not in message
    assert not site.requests
