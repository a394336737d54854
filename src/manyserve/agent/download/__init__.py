"""Downloaders of models, one for each kind of source. The scheme of the URI selects the downloader."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.base import Downloader, DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import HttpDownloader
from manyserve.agent.download.huggingface import HubDownloader
from manyserve.agent.download.object_store.downloader import ObjectStoreDownloader
from manyserve.agent.download.object_store.location import is_azure
from manyserve.agent.download.object_store.pool import StorePool
from manyserve.agent.download.pvc import ClaimDownloader
from manyserve.agent.settings import AgentSettings
from manyserve.redaction import one_line

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
"""The downloaders by scheme."""


def downloaders(settings: AgentSettings) -> Downloaders:
    """Return a downloader for each scheme that the agent reads."""
    secrets = Secrets(settings.sources.credentials_dir)
    unpacker = Unpacker(settings)
    objects = ObjectStoreDownloader(StorePool(settings, secrets), settings, unpacker)
    web = HttpDownloader(settings, secrets, unpacker)
    by_scheme: dict[str, Downloader] = {
        "https": web,
        "http": web,
        "hf": HubDownloader(settings, secrets),
        "pvc": ClaimDownloader(settings, unpacker),
    }
    return by_scheme | dict.fromkeys(("gs", "s3", "az", "abfss"), objects)


def choose(uri: str, by_scheme: Downloaders) -> Downloader:
    """Return the downloader for a URI. Raises `DownloadError`."""
    try:
        scheme = "az" if is_azure(uri) else urlsplit(uri).scheme
    except ValueError:
        raise DownloadError(f"{one_line(uri)} is no URL", reason="bad_uri", permanent=True) from None
    if scheme not in by_scheme:
        schemes = ", ".join(f"{each}://" for each in sorted(by_scheme))
        sentence = f"the agent cannot read {one_line(uri)}: it knows {schemes}"
        raise DownloadError(sentence, reason="bad_uri", permanent=True)
    return by_scheme[scheme]
