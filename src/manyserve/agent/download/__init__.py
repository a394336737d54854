"""Getting the files of a model: the downloader is chosen by the scheme of the URI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

from manyserve.agent.download.base import Downloader, DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.gcs import BucketOpener
from manyserve.agent.download.objects import ObjectStoreDownloader
from manyserve.agent.settings import AgentSettings
from manyserve.agent.text import one_line

__all__ = [
    "DownloadError",
    "Downloader",
    "Downloaders",
    "Limits",
    "Listing",
    "Progress",
    "RemoteFile",
    "choose",
    "downloaders",
]

Downloaders = Mapping[str, Downloader]
"""The downloaders, by the scheme they read."""


def downloaders(settings: AgentSettings) -> Downloaders:
    """Return a downloader for every scheme that the agent reads."""
    limits = Limits(settings.max_files, settings.max_bytes)
    streams = asyncio.Semaphore(settings.parallel_files)
    return {"gs": ObjectStoreDownloader(BucketOpener(settings).open, limits, streams, settings.stall_seconds)}


def choose(uri: str, known: Downloaders) -> Downloader:
    """Return the downloader for a URI. Raises `DownloadError`."""
    scheme = urlsplit(uri).scheme
    if scheme not in known:
        schemes = ", ".join(f"{each}://" for each in sorted(known))
        sentence = f"the agent cannot read {one_line(uri)}: it knows {schemes}"
        raise DownloadError(sentence, reason="bad_uri", permanent=True)
    return known[scheme]
