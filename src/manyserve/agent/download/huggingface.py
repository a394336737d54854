"""Models of the Hugging Face hub: `hf://org/model`, `hf://org/model:revision` and `hf://org/model/folder`.

The hub's own client lists a revision: the listing has a commit, and a hash for each file.
The files of this commit are then read by the HTTP client, and each must match its hash. The hub's host comes from the
settings and is trusted. Its redirects, for example to the host of large files, are checked and get no token.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from yarl import URL

from manyserve.agent.concurrency import in_steps
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.checksums import Checksum, verify
from manyserve.agent.download.credentials import Secrets, without_keys
from manyserve.agent.download.errors import forbidden_error, listing_error
from manyserve.agent.download.http.client import HttpClient, HttpSession, ssl_context
from manyserve.agent.download.http.downloader import download_errors, make_client, make_copier
from manyserve.agent.download.http.ranges import Source, run_workers
from manyserve.agent.settings import AgentSettings
from manyserve.redaction import one_line

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo
    from huggingface_hub.hf_api import RepoSibling

TOKEN_KEY = "HF_TOKEN"  # noqa: S105 (the name of a key, as in KServe)
_URI = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?P<folder>(?:/[^/:]+)*)/?(?::(?P<revision>[^:\s]+))?", re.ASCII)
# Threads for listings alone: after a timeout a thread is not waited for, and must block no other model.
_LISTING_THREADS = ThreadPoolExecutor(4, "hub")
_CLIENT_LOCK = threading.Lock()  # to set up the hub's client closes the client that other threads use
_LFS, _GIT, _COMMIT = "sha256:", "git:", "commit:"


@dataclass(frozen=True)
class HubLocation:
    """The parts of a URI."""

    repo: str
    folder: str
    """A folder of the repository, with a slash at its end; empty for the whole repository."""
    revision: str | None


def parse_location(uri: str) -> HubLocation:
    """Return the parts of a URI. Raises `DownloadError`."""
    match = _URI.fullmatch(uri)
    if not match or ".." in uri:
        sentence = f"{one_line(uri)} is not of the form hf://organisation/model, with :revision if need be"
        raise DownloadError(sentence, reason="bad_uri", permanent=True)
    folder = match["folder"].strip("/")
    return HubLocation(match["repo"], f"{folder}/" if folder else "", match["revision"])


class HubDownloader:
    """The downloader for models of the hub that the settings name."""

    def __init__(self, settings: AgentSettings, secrets: Secrets, client: HttpClient | None = None) -> None:
        self._endpoint = settings.sources.hf_endpoint
        self._secrets = secrets
        self._limits = Limits(settings.max_files, settings.max_bytes)
        client = client or make_client(settings)
        trusted = frozenset({URL(self._endpoint).raw_host or ""})
        self._client = replace(client, policy=replace(client.policy, hosts=trusted))
        self._copier = make_copier(settings)

    async def find(self, uri: str) -> Listing:
        """List the files of the revision's present commit."""
        location, token = parse_location(uri), self._secrets.get(TOKEN_KEY)
        call = partial(self._model_info, location, token)
        try:
            async with asyncio.timeout(self._client.stall_seconds):
                info = await asyncio.get_running_loop().run_in_executor(_LISTING_THREADS, call)
        except DownloadError as error:
            sentence = f"{uri} could not be read: {error}"
            raise DownloadError(sentence, reason=error.reason, permanent=error.permanent) from error
        except Exception as error:
            raise listing_error(error, uri, location.revision, self._missing(token)) from error
        files = tuple(remote_files(info, location.folder))
        self._limits.check(uri, files)
        if not files:
            raise DownloadError(f"{uri} has no files", reason="not_found", permanent=True)
        return Listing(uri, files)

    def _model_info(self, location: HubLocation, token: str | None) -> ModelInfo:
        from manyserve.agent.download import hub_client  # noqa: PLC0415 (only when needed: it is large)

        with _CLIENT_LOCK:
            api = hub_client.hub_api(self._endpoint, ssl_context(self._client.ca_file))
        timeout = self._client.stall_seconds
        return api.model_info(
            location.repo, revision=location.revision, files_metadata=True, timeout=timeout, token=token or False
        )

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> Listing:
        """Download the files, several at once."""
        token = self._secrets.get(TOKEN_KEY)
        try:
            with download_errors(listing.uri):
                async with self._client.session(listing.uri) as session:
                    sources = self._sources(listing, token)
                    copies = (partial(self._copy, session, source, folder, progress) for source in sources)
                    await run_workers(self._copier.workers, copies)
        except DownloadError as error:
            if error.reason != "forbidden":
                raise
            raise forbidden_error(listing.uri, self._missing(token)) from error
        return listing

    def _missing(self, token: str | None) -> str:
        """Return the clause about Secrets without a token; empty with one."""
        return "" if token else without_keys(self._secrets.by_name(), f"the key {TOKEN_KEY}")

    def _sources(self, listing: Listing, token: str | None) -> Iterator[Source]:
        repo = parse_location(listing.uri).repo
        secret_headers = {"Authorization": f"Bearer {token}"} if token else {}
        for file in listing.files:
            commit, _, name = file.key.partition("/")
            url = URL(f"{self._endpoint}/{repo}/resolve/{commit}/{quote(name)}", encoded=True)
            yield Source(url, file, secret_headers, has_ranges=bool(file.size))

    async def _copy(self, session: HttpSession, source: Source, folder: Path, progress: Progress) -> None:
        target = folder / source.file.path
        await self._copier.copy(session, source, target, progress)
        await in_steps(verify(target, checksums(source.file), session.uri))


def remote_files(info: ModelInfo, folder: str) -> Iterator[RemoteFile]:
    """Yield the files of a commit below a folder. Raises `DownloadError` for a name that leads elsewhere."""
    for file in info.siblings or []:
        if not file.rfilename.startswith(folder):
            continue
        path = file.rfilename.removeprefix(folder)
        if {"..", ".", ""} & set(path.split("/")) or not path.isprintable() or PurePosixPath(path).is_absolute():
            sentence = f"the file name {one_line(repr(path))} of {info.id} is refused"
            raise DownloadError(sentence, reason="bad_name", permanent=True)
        yield RemoteFile(f"{info.sha}/{file.rfilename}", path, file.size or 0, _version(file, info.sha or ""))


def _version(file: RepoSibling, commit: str) -> str:
    """Return a hash of the content, or the commit when the hub has no hash."""
    if file.lfs:
        return _LFS + file.lfs.sha256
    return _GIT + file.blob_id if file.blob_id else _COMMIT + commit


def checksums(file: RemoteFile) -> list[Checksum]:
    """Return the expected checksum of a listed file, if the hub has one."""
    if file.version.startswith(_LFS):
        return [Checksum("sha256", bytes.fromhex(file.version.removeprefix(_LFS)))]
    if file.version.startswith(_GIT):
        return [Checksum("sha1", bytes.fromhex(file.version.removeprefix(_GIT)), b"blob %d\0" % file.size)]
    return []
