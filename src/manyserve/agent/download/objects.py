"""Reading models from object stores through obstore: list the prefix, stream the objects, check their sizes.

`gs://bucket/models/a` means the objects below `models/a/`, never those of `models/a-other/`; each is named by
what follows the prefix. When there are none, but an object has exactly that name, the model is this one file.
Stores have no folders, but tools leave empty objects behind that stand for some: they become folders.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.download.errors import explained

if TYPE_CHECKING:
    from obstore import BytesStream, ObjectMeta
    from obstore.store import ObjectStore

CHUNK = 256 * 1024


def address(uri: str) -> tuple[str, str]:
    """Return bucket and prefix of a URI. Raises `DownloadError`."""
    parts = urlsplit(uri)
    prefix = parts.path.strip("/")
    if not parts.netloc or not prefix:
        raise DownloadError(f"{uri} does not name a bucket and a path in it", reason="bad_uri", permanent=True)
    return parts.netloc, prefix


class ObjectStoreDownloader:
    """A downloader over any store that obstore knows.

    `streams` bounds the files read at once, over all models; `stall` is how many seconds one chunk may take.
    """

    def __init__(
        self, opened: Callable[[str], ObjectStore], limits: Limits, streams: asyncio.Semaphore, stall: float
    ) -> None:
        self._opened = opened
        self._limits = limits
        self._streams = streams
        self._stall = stall

    async def find(self, uri: str) -> Listing:
        """List the objects under the URI."""
        bucket, prefix = address(uri)
        try:
            async with asyncio.timeout(self._stall):
                found = await self._list(self._opened(bucket), uri, prefix)
        except Exception as error:
            raise explained(error, uri) from error
        if not found:
            raise DownloadError(f"{uri} has no objects", reason="not_found", permanent=True)
        return Listing(uri, tuple(found))

    async def _list(self, store: ObjectStore, uri: str, prefix: str) -> list[RemoteFile]:
        metas: list[ObjectMeta] = []
        async for some in store.list(prefix, chunk_size=1000):
            metas += some
            self._limits.check(uri, [_remote(meta, meta["path"]) for meta in metas])
        if not metas:
            return await self._single(store, prefix)
        return named(metas, prefix)

    async def _single(self, store: ObjectStore, key: str) -> list[RemoteFile]:
        try:
            meta = await store.head_async(key)
        except FileNotFoundError:
            return []
        return [_remote(meta, PurePosixPath(key).name)]

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Stream all files, several at once; the first failure ends them all."""
        bucket, _ = address(listing.uri)
        try:
            store = self._opened(bucket)
            async with asyncio.TaskGroup() as group:
                for file in listing.files:
                    group.create_task(self._copy(store, file, folder, progress))
        except* Exception as errors:
            raise explained(errors, listing.uri) from errors

    async def _copy(self, store: ObjectStore, file: RemoteFile, folder: Path, progress: Progress) -> None:
        async with self._streams:
            target = folder / file.path
            try:
                async with asyncio.timeout(self._stall):
                    result = await store.get_async(file.key)
            except FileNotFoundError:
                if file.size:
                    raise
                await asyncio.to_thread(target.mkdir, parents=True, exist_ok=True)
                return
            chunks = paced(result.stream(min_chunk_size=CHUNK), self._stall)
            with _created(target) as output:
                written = await _pour(chunks, output, file.size, progress)
        if written != file.size:
            raise DownloadError(f"{file.key} has {file.size} bytes, but {written} came", reason="short")


def _created(path: Path) -> BinaryIO:
    """Open a new file. Not in a thread: a download that is dropped meanwhile would leave it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


async def paced(chunks: BytesStream, stall: float) -> AsyncIterator[bytes]:
    """Yield the chunks. Raises `TimeoutError` when one takes longer: a source that drips is one that hangs."""
    source = aiter(chunks)
    while True:
        try:
            async with asyncio.timeout(stall):
                chunk = await anext(source)
        except StopAsyncIteration:
            return
        yield chunk


async def _pour(chunks: AsyncIterator[bytes], output: BinaryIO, size: int, progress: Progress) -> int:
    """Write the chunks and return the bytes written; stop as soon as they are more than was said."""
    written = 0
    async for chunk in chunks:
        written += len(chunk)
        if written > size:
            break
        await asyncio.to_thread(output.write, chunk)
        progress.arrived(len(chunk))
        progress.stored(len(chunk))
    return written


def named(metas: list[ObjectMeta], prefix: str) -> list[RemoteFile]:
    """Return the objects as files relative to the prefix, without those that only stand for a folder."""
    paths = {meta["path"]: meta["path"].removeprefix(prefix).strip("/") for meta in metas}
    folders = {str(parent) for path in paths.values() for parent in PurePosixPath(path).parents}
    files = [_remote(meta, paths[meta["path"]]) for meta in metas]
    return [_safe(file) for file in files if file.path not in folders and file.path]


def _safe(file: RemoteFile) -> RemoteFile:
    if {"..", ".", ""} & set(file.path.split("/")) or "\0" in file.path:
        raise DownloadError(f"the object name {file.key!r} is refused", reason="bad_name", permanent=True)
    return file


def _remote(meta: ObjectMeta, path: str) -> RemoteFile:
    version = f"{meta['e_tag'] or ''} {meta['last_modified'].isoformat()}"
    return RemoteFile(key=meta["path"], path=path, size=meta["size"], version=version)
