"""Models from web servers, `https://host/path/file` and, where it is allowed, `http://`: one file, or an archive.

What the server tells ahead (HEAD, or a GET of the first byte where there is no HEAD) is the listing. What comes
is judged by its content: an archive is unpacked into the model's folder, any other file keeps the name that the
URL gives it, and a page for people, such as a login, is an error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from yarl import URL

from manyserve.agent.concurrency import in_steps, in_thread
from manyserve.agent.download.archive.downloader import Bounds, Kind, kind_of, unpacked
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.checksums import told, verify
from manyserve.agent.download.http.client import Visit, Web
from manyserve.agent.download.http.copy import CONTENT_RANGE, Copier, Head, Source
from manyserve.agent.download.http.errors import explained, status_error
from manyserve.agent.download.http.secret_headers import secret_headers
from manyserve.agent.download.ssrf import AddressPolicy
from manyserve.agent.redaction import one_line
from manyserve.agent.settings import AgentSettings

_HEAD_BYTES = 64 * 1024
_SIZE = re.compile(r"[0-9]{1,18}")
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{,200}\?>\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE)


def web_of(settings: AgentSettings) -> Web:
    """Return how the settings let the web be read."""
    sources = settings.sources
    allowed = AddressPolicy(sources.allowed_networks)
    return Web(allowed, settings.stall_seconds, allow_http=sources.allow_http, ca_file=sources.ca_file)


def copier_of(settings: AgentSettings, streams: asyncio.Semaphore) -> Copier:
    """Return how the settings let files be copied; `streams` bounds the bodies read at once, over all models."""
    return Copier(streams, settings.parallel_files, settings.sources.range_bytes, settings.max_bytes)


class HttpDownloader:
    """A downloader for files and archives of web servers."""

    def __init__(
        self, settings: AgentSettings, secrets: Secrets, streams: asyncio.Semaphore, web: Web | None = None
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._web = web or web_of(settings)
        self._copier = copier_of(settings, streams)

    async def find(self, uri: str) -> Listing:
        """Ask for the size and the version. The one file has no path yet: its content decides."""
        with sentences(uri):
            url = parsed(uri)
            async with self._web.visit(uri) as visit:
                size, version = await self._look(visit, url, secret_headers(url, self._secrets.folders()))
        file = RemoteFile(key=url.path, path="", size=size, version=version)
        Limits(1, self._settings.max_bytes).check(one_line(uri), [file])
        return Listing(uri, (file,))

    async def _look(self, visit: Visit, url: URL, private: Mapping[str, str]) -> tuple[int, str]:
        async with visit.ask("HEAD", url, {}, private) as answer:
            if answer.status == 200:
                return facts(answer.headers)
        async with visit.ask("GET", url, {"Range": "bytes=0-0"}, private) as answer:
            empty = answer.status == 416 and answer.headers.get("Content-Range") == "bytes */0"
            if answer.status not in {200, 206} and not empty:
                raise status_error(visit.uri, answer.status)
            return facts(answer.headers)

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Bring the file, check it, and unpack it when it is an archive."""
        with sentences(listing.uri):
            url, (file,) = parsed(listing.uri), listing.files
            tag = file.version if file.version.startswith('"') else ""
            private = secret_headers(url, self._secrets.folders())
            target = folder / (file_name(url) or "download")
            async with self._web.visit(listing.uri) as visit:
                source = Source(url, file, private, ranges=bool(tag), tag=tag)
                head = await self._copier.copy(visit, source, target, progress)
            await in_steps(verify(target, told(head.headers, part=head.part), one_line(listing.uri)))
            await self._settle(listing.uri, head, target, progress)

    async def _settle(self, uri: str, head: Head, target: Path, progress: Progress) -> None:
        """Keep the file, or put in its place what is packed in it."""
        name = file_name(parsed(uri))
        kind = judged(one_line(uri), name, head.headers, await in_thread(_first_bytes, target))
        if kind:
            sources = self._settings.sources
            bounds = Bounds(sources.archive_files, self._settings.max_bytes, sources.archive_ratio)
            await in_steps(unpacked(target, kind, bounds, one_line(uri)), progress.stored)


@contextmanager
def sentences(uri: str) -> Iterator[None]:
    """Turn the errors of a download into `DownloadError`."""
    try:
        yield
    except DownloadError:
        raise
    except Exception as error:
        ours = explained(error, one_line(uri))
        if ours is None:
            raise
        raise ours from error


def parsed(uri: str) -> URL:
    """Return the URL of a URI. Raises `DownloadError`."""
    try:
        return URL(uri)
    except ValueError:
        raise DownloadError(f"{one_line(uri)} is no URL", reason="bad_uri", permanent=True) from None


def file_name(url: URL) -> str:
    """Return the name that a URL gives to its file; empty when it gives none that a file can have."""
    name = url.name
    fits = name not in {".", ".."} and "/" not in name and name.isprintable() and len(name.encode()) <= 255
    return name if fits else ""


def facts(headers: Mapping[str, str]) -> tuple[int, str]:
    """Return size and version from the headers of an answer; 0 and empty where the server does not tell."""
    span = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    size = span["total"] if span else headers.get("Content-Length", "")
    version = headers.get("ETag") or headers.get("Last-Modified", "")
    if not version.isascii():  # it may have letters that there are not, and cannot be sent back
        version = ascii(version)
    return int(size) if _SIZE.fullmatch(size) else 0, version


def judged(uri: str, name: str, headers: Mapping[str, str], start: bytes) -> Kind | None:
    """Return what a file is that starts so: an archive, or None for a file of its own. Raises `DownloadError`."""
    if not start:
        raise DownloadError(f"{uri} is empty", reason="short")
    if _PAGE.match(start) and not name.lower().endswith((".html", ".htm")):
        says = "is no model but a web page, perhaps a login or an error"
        raise DownloadError(f"{uri} {says}", reason="not_a_model", permanent=True)
    kind = kind_of(uri, name, headers.get("Content-Type", ""), start)
    encoding = headers.get("Content-Encoding", "identity").lower()
    if not kind and encoding != "identity":
        raise DownloadError(f"{uri} was sent as {one_line(encoding)}, which was not asked for", reason="encoded")
    if not kind and not name:
        raise DownloadError(f"{uri} does not name a file", reason="bad_uri", permanent=True)
    return kind


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)
