"""What lies under a prefix, as files of a model.

Stores have no folders, but tools leave empty objects behind that stand for some: they become folders. What no
folder can hold as it is called is refused by name: a part that is `..` or empty, a thing that is a file and a
folder at once.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from manyserve.agent.download.base import DownloadError, Limits, RemoteFile
from manyserve.agent.download.checksums import version

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_PAGE = 1000


async def listed(store: ObjectStore, uri: str, prefix: str, limits: Limits) -> list[RemoteFile]:
    """Return the files under a prefix, or the one file of that name. Raises `DownloadError`, obstore's errors."""
    files: list[RemoteFile] = []
    async for page in store.list(prefix, chunk_size=_PAGE):
        files += [_remote(meta, meta["path"].removeprefix(prefix).strip("/")) for meta in page]
        limits.check(uri, files)
    return named(files) if files else await _single(store, prefix)


async def _single(store: ObjectStore, key: str) -> list[RemoteFile]:
    try:
        meta = await store.head_async(key)
    except FileNotFoundError:
        return []
    return [_remote(meta, PurePosixPath(key).name)]


def named(files: list[RemoteFile]) -> list[RemoteFile]:
    """Return the files without those that only stand for a folder. Raises `DownloadError`."""
    paths = Counter(file.path for file in files)  # a slash at its end is all that a folder has beyond a file
    folders = {str(parent) for file in files for parent in PurePosixPath(file.path).parents} | {""}
    for file in files:
        if file.path in folders and file.size:
            raise _refused(file.key, f"it has {file.size} bytes and is a folder, too")
        if paths[file.path] > 1:
            raise _refused(file.key, "it is there twice, with a slash at its end and without")
    return [_safe(file) for file in files if file.path not in folders]


def _safe(file: RemoteFile) -> RemoteFile:
    parts = set(file.path.split("/"))
    if {"..", ".", ""} & parts:
        raise _refused(file.key, "a part of it is empty, . or ..")
    if "\0" in file.path or max(len(part.encode()) for part in parts) > 255:
        raise _refused(file.key, "no file can be called so")
    return file


def _refused(key: str, why: str) -> DownloadError:
    return DownloadError(f"the object name {key!r} is refused: {why}", reason="bad_name", permanent=True)


def _remote(meta: ObjectMeta, path: str) -> RemoteFile:
    told = f"{version(meta['e_tag'])} {meta['last_modified'].isoformat()}"
    return RemoteFile(key=meta["path"], path=path, size=meta["size"], version=told)
