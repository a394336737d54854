"""Models in object stores, read through obstore: list the prefix, stream the objects, verify the bytes.

`gs://bucket/models/a` means the objects below `models/a/`, never those of `models/a-other/`. The part after the prefix
is the path of a file. When there are none, but an object has exactly that name, the model is this one file.
Large objects are read in pieces, several at once, all of the listed version. An archive that is the only object is
unpacked, as in KServe.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.base import CHUNK_BYTES, DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.errors import store_error
from manyserve.agent.download.http.ranges import Piece, open_piece, run_workers, split, write_chunks
from manyserve.agent.download.object_store.listing import (
    ETagChecksums,
    RereadProgress,
    list_files,
    listed_etag,
    normalized_etag,
)
from manyserve.agent.download.object_store.location import ObjectLocation, parse_location
from manyserve.agent.download.object_store.pool import StorePool
from manyserve.agent.settings import AgentSettings

if TYPE_CHECKING:
    from obstore import BytesStream, GetOptions, ObjectMeta
    from obstore.store import ObjectStore

_AZURE_FOLDER = "hdi_isfolder"  # metadata of a folder marker without a slash at its end
_MD5_OF_NOTHING = hashlib.md5(usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class _Download:
    """One download."""

    store: ObjectStore
    location: ObjectLocation
    folder: Path
    progress: Progress


class ObjectStoreDownloader:
    """The downloader for object stores."""

    def __init__(self, stores: StorePool, settings: AgentSettings, unpacker: Unpacker) -> None:
        self._stores = stores
        self._limits = Limits(settings.max_files, settings.max_bytes)
        self._unpacker = unpacker
        self._stall_seconds = settings.stall_seconds
        self._workers = settings.parallel_files
        self._range_bytes = settings.sources.range_bytes
        self._checksums = ETagChecksums()

    async def find(self, uri: str) -> Listing:
        """List the objects under the URI."""
        location = parse_location(uri)
        try:
            store = await self._stores.open(location)
            async with asyncio.timeout(self._stall_seconds):
                files = await list_files(store, uri, location.prefix, self._limits)
        except Exception as error:
            raise store_error(error, uri, await self._stores.hint(location)) from error
        if not files:
            raise DownloadError(f"{uri} has no objects", reason="not_found", permanent=True)
        return Listing(uri, tuple(files))

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> Listing:
        """Stream all files, several at once. The first failure cancels all. Unpack an archive that is the only file."""
        location = parse_location(listing.uri)
        pieces = (piece for file in listing.files for piece in split(file, self._range_bytes))
        try:
            download = _Download(await self._stores.open(location), location, folder, progress)
            await run_workers(self._workers, (partial(self._copy_verified, download, piece) for piece in pieces))
            progress.complete()
            await self._unpacker.unpack_only_file(listing.uri, folder, progress)
        except Exception as error:
            raise store_error(error, listing.uri, await self._stores.hint(location)) from error
        return listing

    async def _copy_verified(self, download: _Download, piece: Piece) -> None:
        """Copy a piece. A whole file is compared with its ETag."""
        expected = self._checksums.md5(download.location.root, piece.file) if piece.is_whole else None
        md5 = await self._copy(download, piece, download.progress, hashed=expected is not None)
        if expected and md5 != expected:
            await self._reread(download, piece, expected, md5)

    async def _reread(self, download: _Download, piece: Piece, expected: str, first: str) -> None:
        """Copy a file again, to find out whether the network altered it or its ETag is no checksum."""
        second = await self._copy(download, piece, RereadProgress(download.progress), hashed=True)
        if second not in (expected, first):
            raise DownloadError(f"{piece.file.key} did not arrive as its checksum says", reason="checksum")
        if second != expected:
            self._checksums.distrust(download.location.root)

    async def _copy(self, download: _Download, piece: Piece, progress: Progress, *, hashed: bool) -> str:
        """Copy a piece and return the MD5 of its bytes, if `hashed`."""
        file, target, size = piece.file, download.folder / piece.file.path, piece.end - piece.start
        try:
            async with asyncio.timeout(self._stall_seconds):
                result = await download.store.get_async(file.key, options=_options(piece))
        except FileNotFoundError:
            if file.size:
                raise _not_found(file) from None
            return _make_folder(target)  # its marker has a slash at its end, which a request does not have
        _check_version(file, result.meta)
        if not file.size and result.attributes.get(_AZURE_FOLDER) == "true":
            return _make_folder(target)
        chunks = _with_timeout(result.stream(min_chunk_size=CHUNK_BYTES), self._stall_seconds)
        with open_piece(target, piece, hashed=hashed) as writer:
            count = await write_chunks(chunks, writer, size, progress)
        if count != size:
            verb = "has" if piece.is_whole else "was asked for"
            raise DownloadError(f"{file.key} {verb} {size} bytes, but {count} came", reason="checksum")
        return writer.md5


def _make_folder(path: Path) -> str:
    """Create the folder of a marker. Return the MD5 of a marker's content, which is empty."""
    path.mkdir(parents=True, exist_ok=True)
    return _MD5_OF_NOTHING


async def _with_timeout(chunks: BytesStream, seconds: float) -> AsyncIterator[bytes]:
    """Yield the chunks. Raises `TimeoutError` when one takes longer, even if single bytes arrive."""
    source = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(source)
        except StopAsyncIteration:
            return
        yield chunk


def _options(piece: Piece) -> GetOptions:
    """Return the condition and the range of a piece. A whole file has neither: its version is checked afterwards."""
    if piece.is_whole:
        return {}
    etag = listed_etag(piece.file)
    return {"range": (piece.start, piece.end), "if_match": f'"{etag}"' if etag else None}


def _not_found(file: RemoteFile) -> DownloadError:
    """Return the error of a listed file that is not found. obstore drops a slash at the end of a name."""
    sentence = f"{file.key} has {file.size} bytes, but is not there by this name: is it gone, or does it end with a /?"
    return DownloadError(sentence, reason="not_found", permanent=True)


def _check_version(file: RemoteFile, meta: ObjectMeta) -> None:
    """Compare the version with the listed one, because some stores ignore the condition of a request."""
    listed, received = listed_etag(file), normalized_etag(meta["e_tag"])
    if listed and received and listed != received:
        raise DownloadError(f"{file.key} changed while it was downloaded", reason="changed")
