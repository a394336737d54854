"""Models from web servers: one file or an archive at `https://host/path/file`, or at `http://` where it is allowed.

The listing comes from the headers of a HEAD request, or of a GET of the first byte where there is no HEAD.
The content decides the rest. An archive is unpacked into the model's folder. Any other file keeps the name in the
URL. A web page, such as a login, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from yarl import URL

from manyserve.agent.concurrency import in_steps, in_thread
from manyserve.agent.download.archive.downloader import (
    ArchiveKind,
    archive_kind,
    first_bytes,
)
from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile, with_hint
from manyserve.agent.download.checksums import header_checksums, verify
from manyserve.agent.download.credentials import HEADERS_KEY, HOST_KEY, Secrets, secret_headers, without_keys
from manyserve.agent.download.errors import status_error, web_error
from manyserve.agent.download.http.client import HttpClient, HttpSession
from manyserve.agent.download.http.ranges import CONTENT_RANGE, Copier, ResponseHead, Source
from manyserve.agent.download.ssrf import AddressPolicy
from manyserve.agent.settings import AgentSettings
from manyserve.redaction import one_line

_WEAK = "W/"  # of an ETag, when a server may have compressed the content
_SIZE = re.compile(r"[0-9]{1,18}")
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{,200}\?>\s*)?<(?:!doctype\s+html|html)\b", re.IGNORECASE)


def make_client(settings: AgentSettings) -> HttpClient:
    """Return the HTTP client of the settings."""
    sources = settings.sources
    policy = AddressPolicy(sources.allowed_networks)
    return HttpClient(policy, settings.stall_seconds, allow_http=sources.allow_http, ca_file=sources.ca_file)


def make_copier(settings: AgentSettings) -> Copier:
    """Return the copier of the settings."""
    return Copier(settings.parallel_files, settings.sources.range_bytes, settings.max_bytes)


class HttpDownloader:
    """The downloader for files and archives of web servers."""

    def __init__(
        self, settings: AgentSettings, secrets: Secrets, unpacker: Unpacker, client: HttpClient | None = None
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._unpacker = unpacker
        self._client = client or make_client(settings)
        self._copier = make_copier(settings)

    async def find(self, uri: str) -> Listing:
        """Request the size and the version. The one file has no path yet: its content decides it."""
        with download_errors(uri):
            url = parse_url(uri)
            async with self._client.session(uri) as session:
                headers = secret_headers(url, self._secrets.by_name())
                with _explained(url, headers, self._secrets):
                    size, version = await self._request_version(session, url, headers)
        file = RemoteFile(key=url.path, path="", size=size, version=version)
        Limits(1, self._settings.max_bytes).check(one_line(uri), [file])
        return Listing(uri, (file,))

    async def _request_version(
        self, session: HttpSession, url: URL, secret_headers: Mapping[str, str]
    ) -> tuple[int, str]:
        async with session.request("HEAD", url, {}, secret_headers) as response:
            if response.status == 200:
                return size_and_version(response.headers)
        async with session.request("GET", url, {"Range": "bytes=0-0"}, secret_headers) as response:
            is_empty = response.status == 416 and response.headers.get("Content-Range") == "bytes */0"
            if response.status not in {200, 206} and not is_empty:
                raise status_error(session.uri, response.status)
            return size_and_version(response.headers)

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> Listing:
        """Download the file, verify it, and unpack it when it is an archive. The version is that of the response."""
        with download_errors(listing.uri):
            url, (file,) = parse_url(listing.uri), listing.files
            etag = file.version if file.version.startswith('"') else ""
            headers = secret_headers(url, self._secrets.by_name())
            target = folder / (file_name(url) or "download")
            async with self._client.session(listing.uri) as session:
                source = Source(url, file, headers, has_ranges=bool(etag), etag=etag)
                with _explained(url, headers, self._secrets):
                    head = await self._copier.copy(session, source, target, progress)
            progress.complete()
            checksums = header_checksums(head.headers, is_partial=head.is_partial)
            await in_steps(verify(target, checksums, one_line(listing.uri)))
            await self._unpack(listing.uri, head, target, progress)
        return as_read(listing, head.headers)

    async def _unpack(self, uri: str, head: ResponseHead, target: Path, progress: Progress) -> None:
        """Replace an archive by its content. Any other file stays."""
        name = file_name(parse_url(uri))
        kind = check_content(one_line(uri), name, head.headers, await in_thread(first_bytes, target))
        if kind:
            await self._unpacker.unpack(target, kind, uri, progress)


@contextmanager
def download_errors(uri: str) -> Iterator[None]:
    """Convert the errors of a download to `DownloadError`."""
    try:
        yield
    except DownloadError:
        raise
    except Exception as error:
        converted = web_error(error, one_line(uri))
        if converted is None:
            raise
        raise converted from error


@contextmanager
def _explained(url: URL, secret_headers: Mapping[str, str], secrets: Secrets) -> Iterator[None]:
    """Name the missing keys when a server denies a request without headers of a secret."""
    try:
        yield
    except DownloadError as error:
        if secret_headers or error.reason != "forbidden":
            raise
        wanted = f"{HOST_KEY} for {'' if url.scheme == 'https' else 'http://'}{url.host_port_subcomponent}"
        raise with_hint(error, without_keys(secrets.by_name(), f"{wanted} and {HEADERS_KEY}")) from error


def parse_url(uri: str) -> URL:
    """Return the URL of a URI. Raises `DownloadError`."""
    try:
        return URL(uri)
    except ValueError:
        raise DownloadError(f"{one_line(uri)} is no URL", reason="bad_uri", permanent=True) from None


def file_name(url: URL) -> str:
    """Return the last part of the path; empty when no file can have this name."""
    name = url.name
    is_valid = name not in {".", ".."} and "/" not in name and name.isprintable() and len(name.encode()) <= 255
    return name if is_valid else ""


def size_and_version(headers: Mapping[str, str]) -> tuple[int, str]:
    """Return size and version from the headers of a response; 0 and empty without such headers."""
    match = CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    size = match["total"] if match else headers.get("Content-Length", "")
    version = headers.get("ETag") or headers.get("Last-Modified", "")
    if not version.isascii():  # it may hold bytes that are no valid text and cannot be sent back
        version = ascii(version)
    return int(size) if _SIZE.fullmatch(size) else 0, version


def as_read(listing: Listing, headers: Mapping[str, str]) -> Listing:
    """Return the listing with the version of the response. A cache may answer HEAD and GET with different ones."""
    (file,) = listing.files
    _, version = size_and_version(headers)
    if version.removeprefix(_WEAK) == file.version.removeprefix(_WEAK):
        return listing
    return replace(listing, files=(replace(file, version=version),))


def check_content(uri: str, name: str, headers: Mapping[str, str], start: bytes) -> ArchiveKind | None:
    """Return the kind of archive that a file starts as; None for any other file. Raises `DownloadError`."""
    if not start:
        raise DownloadError(f"{uri} is empty", reason="short")
    if _PAGE.match(start) and not name.lower().endswith((".html", ".htm")):
        problem = "is no model but a web page, perhaps a login or an error"
        raise DownloadError(f"{uri} {problem}", reason="not_a_model", permanent=True)
    kind = archive_kind(uri, name, headers.get("Content-Type", ""), start)
    encoding = headers.get("Content-Encoding", "identity").lower()
    if not kind and encoding != "identity":
        raise DownloadError(f"{uri} was sent as {one_line(encoding)}, which was not asked for", reason="encoded")
    if not kind and not name:
        raise DownloadError(f"{uri} does not name a file", reason="bad_uri", permanent=True)
    return kind
