"""Error messages of failed downloads from web servers."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import HttpDownloader
from manyserve.agent.settings import AgentSettings
from tests.agent.download.fetching import fetch, fetch_error, make_downloader
from tests.agent.download.webserver import Site, Trust, make_trust


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
async def test_http_error_has_status_in_sentence(
    site: Site, config: AgentSettings, tmp_path: Path, status: int, words: str, permanent: bool
) -> None:
    site.serve("/x", b"secret", status=status)
    uri = site.url("/x")
    message = await fetch_error(make_downloader(config), tmp_path, uri, permanent=permanent)
    hint = f"; the host's ServiceAccount lists no secret with https-host for models.test:{site.port} and headers"
    assert message == f"{uri} {words}" + (hint if status in {401, 403} else "")


async def test_http_error_repeats_no_secret_of_uri(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/x?sig=s3cret"), permanent=True)
    assert "s3cret" not in message
    named = site.url("/x").replace("https://", "https://user:s3cret@")
    message = await fetch_error(make_downloader(config), tmp_path, named, permanent=True)
    assert "names a user; credentials belong into a secret with https-host and headers" in message
    assert "s3cret" not in message


async def test_http_error_names_untrusted_certificate(site: Site, config: AgentSettings, tmp_path: Path) -> None:
    unknown = config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": None})})
    assert "its certificate is not trusted" in await fetch_error(
        make_downloader(unknown), tmp_path, site.url("/x"), permanent=True
    )
    elsewhere = site.url("/x", host="wrong.test")
    assert "its certificate is not trusted" in await fetch_error(
        make_downloader(config), tmp_path, elsewhere, permanent=True
    )
    assert not site.requests


async def test_http_error_names_unreachable_host(config: AgentSettings, tmp_path: Path) -> None:
    words = "could not be read: its host cannot be reached"
    assert words in await fetch_error(make_downloader(config), tmp_path, "https://models.test:1/x", permanent=False)
    source = HttpDownloader(config, Secrets(tmp_path), Unpacker(config))  # with the system's resolver
    words = "could not be read: its host name cannot be resolved"
    assert words in await fetch_error(source, tmp_path, "https://does-not-exist.invalid/x", permanent=False)


async def test_http_error_names_empty_file_and_url_without_name(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x", b"")
    assert (
        await fetch_error(make_downloader(config), tmp_path, site.url("/x"), permanent=False)
        == f"{site.url('/x')} is empty"
    )
    site.serve("/", b"model")
    message = await fetch_error(make_downloader(config), tmp_path, site.url("/"), permanent=True)
    assert message == f"{site.url('/')} does not name a file"


async def test_http_error_names_missing_ca_file(config: AgentSettings, tmp_path: Path) -> None:
    wrong = config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": tmp_path / "none.pem"})})
    message = await fetch_error(make_downloader(wrong), tmp_path, "https://models.test/x", permanent=False)
    assert message.startswith(f"the certificates in {tmp_path}/none.pem could not be read")


async def test_http_client_reloads_changed_ca_file(
    site: Site, trust: Trust, config: AgentSettings, tmp_path: Path
) -> None:
    site.serve("/x", b"model")
    roots, other = tmp_path / "roots.pem", tmp_path / "other"
    await asyncio.to_thread(other.mkdir)
    shutil.copy(make_trust(other).ca_file, roots)
    source = make_downloader(
        config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": roots})})
    )
    assert "its certificate is not trusted" in await fetch_error(source, tmp_path, site.url("/x"), permanent=True)
    shutil.copy(trust.ca_file, roots)
    os.utime(roots, ns=(1, 1))
    assert await fetch(source, tmp_path / "a", site.url("/x")) == {"x": b"model"}
