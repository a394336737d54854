"""Reading models from object stores through obstore: list the prefix, stream the objects, check what came.

`gs://bucket/models/a` means the objects below `models/a/`, never those of `models/a-other/`; each is named by
what follows the prefix. When there are none, but an object has exactly that name, the model is this one file.
Large objects are read in pieces, several at once, all of the version that was listed.

A download is done by a few workers, not by a task for each piece: downloads take turns at the streams that all
share, and one of a thousand pieces would stand before a small one with all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.checksums import Proofs, ReadAgain, e_tag, version
from manyserve.agent.download.errors import explained
from manyserve.agent.download.http.ranges import Piece, opened, paced, pieces, pour
from manyserve.agent.download.listing import listed
from manyserve.agent.download.object_store.location import ObjectLocation, parse_location
from manyserve.agent.download.object_store.pool import StorePool
from manyserve.agent.settings import AgentSettings

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Work:
    """One download."""

    store: ObjectStore
    place: ObjectLocation
    folder: Path
    progress: Progress


class ObjectStoreDownloader:
    """A downloader over any store that obstore knows. `streams` bounds what is read at once, over all models."""

    def __init__(self, stores: StorePool, settings: AgentSettings, streams: asyncio.Semaphore) -> None:
        self._stores = stores
        self._limits = Limits(settings.max_files, settings.max_bytes)
        self._stall = settings.stall_seconds
        self._workers = settings.parallel_files
        self._step = settings.sources.range_bytes
        self._streams = streams
        self._proofs = Proofs()

    async def find(self, uri: str) -> Listing:
        """List the objects under the URI."""
        where = parse_location(uri)
        try:
            store = await self._stores.open(where)
            async with asyncio.timeout(self._stall):
                found = await listed(store, uri, where.prefix, self._limits)
        except Exception as error:
            raise explained(error, uri) from error
        if not found:
            raise DownloadError(f"{uri} has no objects", reason="not_found", permanent=True)
        return Listing(uri, tuple(found))

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Stream all files, several at once; the first failure ends them all."""
        where = parse_location(listing.uri)
        todo = (piece for file in listing.files for piece in pieces(file, self._step))
        try:
            work = _Work(await self._stores.open(where), where, folder, progress)
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._some(work, todo))
        except* Exception as errors:
            raise explained(errors, listing.uri) from errors

    async def _some(self, work: _Work, todo: Iterator[Piece]) -> None:
        """Do one piece after the other, of those that nobody has begun."""
        for piece in todo:
            md5 = self._proofs.md5(work.place.root, piece.file) if piece.is_all else None
            came = await self._copy(work, piece, work.progress, hashed=md5 is not None)
            if md5 and came != md5:
                await self._copy_again(work, piece, md5, came)

    async def _copy_again(self, work: _Work, piece: Piece, md5: str, first: str) -> None:
        """Tell a line that alters bytes from a store whose ETags are no checksums."""
        second = await self._copy(work, piece, ReadAgain(work.progress), hashed=True)
        if second not in (md5, first):
            raise DownloadError(f"{piece.file.key} did not arrive as its checksum says", reason="checksum")
        if second != md5:
            self._proofs.are_none(work.place.root)

    async def _copy(self, work: _Work, piece: Piece, progress: Progress, *, hashed: bool) -> str:
        """Bring a piece to its place; return the MD5 of what came, if it is wanted."""
        file, target, size = piece.file, work.folder / piece.file.path, piece.end - piece.start
        async with self._streams:
            try:
                async with asyncio.timeout(self._stall):
                    result = await work.store.get_async(file.key, options=_options(piece))
            except FileNotFoundError:
                if file.size:
                    raise _gone(file) from None
                target.mkdir(parents=True, exist_ok=True)
                return ""
            _same_version(file, result.meta)
            with opened(target, piece, hashed=hashed) as output:
                came = await pour(paced(result.stream(min_chunk_size=CHUNK), self._stall), output, size, progress)
        if came != size:
            asked = "has" if piece.is_all else "was asked for"
            raise DownloadError(f"{file.key} {asked} {size} bytes, but {came} came", reason="checksum")
        return output.md5


def _options(piece: Piece) -> GetOptions:
    """Return what is asked for: a piece of the version that was listed, or the whole, whose version is looked at."""
    if piece.is_all:
        return {}
    known = e_tag(piece.file)
    return {"range": (piece.start, piece.end), "if_match": f'"{known}"' if known else None}


def _gone(file: RemoteFile) -> DownloadError:
    """Return why a listed file cannot be had; obstore leaves out the slash that a name ends with."""
    sentence = f"{file.key} has {file.size} bytes, but is not there by this name: is it gone, or does it end with a /?"
    return DownloadError(sentence, reason="not_found", permanent=True)


def _same_version(file: RemoteFile, meta: ObjectMeta) -> None:
    """Compare what comes with what was listed: not every store heeds the condition of a request."""
    known, found = e_tag(file), version(meta["e_tag"])
    if known and found and known != found:
        raise DownloadError(f"{file.key} changed while it was downloaded", reason="changed")
