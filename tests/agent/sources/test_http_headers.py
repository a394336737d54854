"""Headers that a secret gives for a host."""

from pathlib import Path

import pytest

from manyserve.agent.settings import AgentSettings
from tests.agent.sources.asking import allowing_http, fails, fetched, reader
from tests.agent.sources.webserver import Site


def secret(config: AgentSettings, name: str, host: str, headers: str) -> None:
    folder = config.sources.credentials_dir / name
    folder.mkdir(parents=True)
    (folder / "https-host").write_text(host)
    (folder / "headers").write_text(headers)


async def test_headers_of_a_secret_go_to_its_host_and_never_further(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    secret(config, "mine", "Models.test", '{"X-Token": "s3cret"}')
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
    ("host", "sent"), [("models.test", None), ("http://models.test", "s3cret"), ("https://models.test", None)]
)
async def test_headers_go_over_http_only_where_the_secret_says_so(
    config: AgentSettings, tmp_path: Path, host: str, sent: str | None
) -> None:
    site = Site()
    server = await site.start(None)
    site.gives("/x.onnx", b"1")
    secret(config, "mine", host, '{"X-Token": "s3cret"}')
    secret(config, "mine-by-port", f"{host}:{site.port}", '{"X-Same": "s3cret"}')
    uri = site.url("/x.onnx", scheme="http")
    assert await fetched(reader(allowing_http(config)), tmp_path / "a", uri) == {"x.onnx": b"1"}
    await server.close()
    assert {(request.headers.get("X-Token"), request.headers.get("X-Same")) for request in site.seen} == {(sent, sent)}


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
