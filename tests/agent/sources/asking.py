"""Asking web servers as the agent does."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from manyserve.agent.download import Downloader, DownloadError
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import HttpDownloader, make_client
from manyserve.agent.settings import AgentSettings
from tests.agent.sources.archives import contents
from tests.agent.sources.webserver import Names
from tests.agent.support import Counted


def reader(config: AgentSettings, names: Names | None = None) -> HttpDownloader:
    client = replace(make_client(config), resolver=names or Names())
    secrets = Secrets(config.sources.credentials_dir)
    return HttpDownloader(config, secrets, asyncio.Semaphore(config.parallel_files), client)


def allowing_http(config: AgentSettings) -> AgentSettings:
    return config.model_copy(update={"sources": config.sources.model_copy(update={"allow_http": True})})


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
