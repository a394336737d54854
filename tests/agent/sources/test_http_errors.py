"""What is said when a web server does not give a model."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import HttpDownloader
from manyserve.agent.settings import AgentSettings
from tests.agent.sources.asking import fails, fetched, reader
from tests.agent.sources.webserver import Site, Trust, make_trust


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
    assert "names a user; credentials belong into a secret with https-host and headers" in said
    assert "s3cret" not in said


async def test_a_certificate_that_nobody_vouches_for_is_named(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    unknown = config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": None})})
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


async def test_an_empty_file_and_a_url_without_a_name_are_no_model(
    site: Site, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/x", b"")
    assert await fails(reader(config), tmp_path, site.url("/x"), permanent=False) == f"{site.url('/x')} is empty"
    site.gives("/", b"model")
    said = await fails(reader(config), tmp_path, site.url("/"), permanent=True)
    assert said == f"{site.url('/')} does not name a file"


async def test_no_roots_are_a_setting_that_is_wrong(config: AgentSettings, tmp_path: Path) -> None:
    wrong = config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": tmp_path / "none.pem"})})
    said = await fails(reader(wrong), tmp_path, "https://models.test/x", permanent=False)
    assert said.startswith(f"the certificates in {tmp_path}/none.pem could not be read")


async def test_new_roots_are_believed_without_a_restart(
    site: Site, trust: Trust, config: AgentSettings, tmp_path: Path
) -> None:
    site.gives("/x", b"model")
    roots, other = tmp_path / "roots.pem", tmp_path / "other"
    await asyncio.to_thread(other.mkdir)
    shutil.copy(make_trust(other).ca_file, roots)
    source = reader(config.model_copy(update={"sources": config.sources.model_copy(update={"ca_file": roots})}))
    assert "its certificate is not trusted" in await fails(source, tmp_path, site.url("/x"), permanent=True)
    shutil.copy(trust.ca_file, roots)
    os.utime(roots, ns=(1, 1))
    assert await fetched(source, tmp_path / "a", site.url("/x")) == {"x": b"model"}
