"""Models of the Hugging Face hub, `hf://org/model`, `hf://org/model:revision` and `hf://org/model/folder`.

The hub's own client lists a revision, which names a commit and a hash for each file. The files of this commit
are then read as from any web server, and each must have its hash. The hub's host comes from the settings and
is trusted; where it redirects to, such as the host that keeps large files, is judged, and never told the token.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from yarl import URL

from manyserve.agent.concurrency import in_steps
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.checksums import Checksum, verify
from manyserve.agent.download.http.client import Visit, Web, trust
from manyserve.agent.download.http.copy import Source, in_turns
from manyserve.agent.download.http.downloader import copier_of, sentences, web_of
from manyserve.agent.download.huggingface.errors import forbidden, listing_error
from manyserve.agent.redaction import one_line
from manyserve.agent.settings import AgentSettings

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo
    from huggingface_hub.hf_api import RepoSibling

TOKEN_KEY = "HF_TOKEN"  # noqa: S105 (the name of a key, as in KServe)
_URI = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?P<folder>(?:/[^/:]+)*)/?(?::(?P<revision>[^:\s]+))?", re.ASCII)
# A thread that hangs is left alone: it does nothing but ask. So it is none of those that all models need.
_ASKING = ThreadPoolExecutor(4, "hub")
_ONE_AT_A_TIME = threading.Lock()  # to set up the hub's client is to close the one that others use
_LFS, _GIT, _COMMIT = "sha256:", "git:", "commit:"


@dataclass(frozen=True)
class _Place:
    """What a URI names."""

    repo: str
    folder: str
    """A folder of the repository, with a slash at its end; empty for all of it."""
    revision: str | None


def place(uri: str) -> _Place:
    """Return what a URI names. Raises `DownloadError`."""
    found = _URI.fullmatch(uri)
    if not found or ".." in uri:
        sentence = f"{one_line(uri)} is not of the form hf://organisation/model, with :revision if need be"
        raise DownloadError(sentence, reason="bad_uri", permanent=True)
    folder = found["folder"].strip("/")
    return _Place(found["repo"], f"{folder}/" if folder else "", found["revision"])


class HubDownloader:
    """A downloader for the models of the hub that the settings name."""

    def __init__(
        self, settings: AgentSettings, secrets: Secrets, streams: asyncio.Semaphore, web: Web | None = None
    ) -> None:
        self._endpoint = settings.sources.hf_endpoint
        self._secrets = secrets
        self._limits = Limits(settings.max_files, settings.max_bytes)
        found = web or web_of(settings)
        hub = frozenset({URL(self._endpoint).raw_host or ""})
        self._web = replace(found, allowed=replace(found.allowed, hosts=hub))
        self._copier = copier_of(settings, streams)

    async def find(self, uri: str) -> Listing:
        """List the files of the commit that the revision is now."""
        where, token = place(uri), self._secrets.get(TOKEN_KEY)
        api = partial(self._info, where, token)
        try:
            async with asyncio.timeout(self._web.stall):
                info = await asyncio.get_running_loop().run_in_executor(_ASKING, api)
        except Exception as error:
            raise listing_error(error, uri, where.revision, has_token=bool(token)) from error
        files = tuple(listed(info, where.folder))
        self._limits.check(uri, files)
        if not files:
            raise DownloadError(f"{uri} has no files", reason="not_found", permanent=True)
        return Listing(uri, files)

    def _info(self, where: _Place, token: str | None) -> ModelInfo:
        with _ONE_AT_A_TIME:
            api = hub_api(self._endpoint, trust(self._web.ca_file))
        return api.model_info(
            where.repo, revision=where.revision, files_metadata=True, timeout=self._web.stall, token=token or False
        )

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Bring the files, several at once."""
        token = self._secrets.get(TOKEN_KEY)
        try:
            with sentences(listing.uri):
                async with self._web.visit(listing.uri) as visit:
                    sources = self._sources(listing, token)
                    copies = (partial(self._file, visit, source, folder, progress) for source in sources)
                    await in_turns(self._copier.workers, copies)
        except DownloadError as error:
            if error.reason != "forbidden":
                raise
            raise forbidden(listing.uri, has_token=bool(token)) from error

    def _sources(self, listing: Listing, token: str | None) -> Iterator[Source]:
        repo = place(listing.uri).repo
        private = {"Authorization": f"Bearer {token}"} if token else {}
        for file in listing.files:
            commit, _, name = file.key.partition("/")
            url = URL(f"{self._endpoint}/{repo}/resolve/{commit}/{quote(name)}", encoded=True)
            yield Source(url, file, private, ranges=bool(file.size))

    async def _file(self, visit: Visit, source: Source, folder: Path, progress: Progress) -> None:
        target = folder / source.file.path
        await self._copier.copy(visit, source, target, progress)
        await in_steps(verify(target, hashes(source.file), visit.uri))


@lru_cache(maxsize=1)
def hub_api(endpoint: str, context: ssl.SSLContext) -> HfApi:
    """Return the hub's client, which believes the certificates that all else believes. It blocks."""
    import httpx2  # noqa: PLC0415 (only when needed: with the hub's client it takes 30 MB)
    from huggingface_hub import HfApi, set_client_factory  # noqa: PLC0415

    alone = httpx2.Limits(max_keepalive_connections=0)  # a listing is one request, and minutes lie between two
    set_client_factory(lambda: httpx2.Client(verify=context, follow_redirects=True, trust_env=False, limits=alone))
    return HfApi(endpoint=endpoint)


def listed(info: ModelInfo, folder: str) -> Iterator[RemoteFile]:
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
    """Return what changes with the content: a hash of it, where the hub tells one."""
    if file.lfs:
        return _LFS + file.lfs.sha256
    return _GIT + file.blob_id if file.blob_id else _COMMIT + commit


def hashes(file: RemoteFile) -> list[Checksum]:
    """Return what a listed file must hash to."""
    if file.version.startswith(_LFS):
        return [Checksum("sha256", bytes.fromhex(file.version.removeprefix(_LFS)))]
    if file.version.startswith(_GIT):
        return [Checksum("sha1", bytes.fromhex(file.version.removeprefix(_GIT)), b"blob %d\0" % file.size)]
    return []
