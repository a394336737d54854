"""Downloads from the fake web servers."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from manyserve.agent.download import Downloader, DownloadError
from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import HttpDownloader, make_client
from manyserve.agent.settings import AgentSettings
from tests.agent.download.archives import contents
from tests.agent.download.webserver import FakeDns
from tests.agent.support import Counted
from tests.support.eventually import LIMIT


def make_downloader(config: AgentSettings, dns: FakeDns | None = None) -> HttpDownloader:
    client = replace(make_client(config), resolver=dns or FakeDns())
    secrets = Secrets(config.sources.credentials_dir)
    return HttpDownloader(config, secrets, Unpacker(config), client)


def with_http(config: AgentSettings) -> AgentSettings:
    return config.model_copy(update={"sources": config.sources.model_copy(update={"allow_http": True})})


async def fetch(source: Downloader, folder: Path, uri: str) -> dict[str, bytes]:
    counted = Counted()
    listing = await source.find(uri)
    await source.fetch(listing, folder, counted)
    assert counted.came
    assert counted.came >= listing.size
    return contents(folder)


async def fetch_error(source: Downloader, folder: Path, uri: str, *, permanent: bool) -> str:
    """Return the error message of a URI that cannot be read."""
    async with asyncio.timeout(LIMIT):
        with pytest.raises(DownloadError) as caught:
            await fetch(source, folder, uri)
    assert caught.value.permanent is permanent, str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)
