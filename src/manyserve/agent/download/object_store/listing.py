"""Listings of a prefix in an object store, as the files of a model, and their ETags as MD5 checksums.

Stores have no folders, but tools create empty objects as folder markers: these become folders. A name that no folder
can hold is refused. Examples are a part that is `..` or empty, and a name that is a file and a folder.

Most stores use the MD5 of a file that was uploaded in one piece as its ETag. In some buckets an ETag only looks like
an MD5, for example when a customer's key encrypts the files. So a file that does not match is read a second time. If
the same bytes arrive, the network is not the cause, and the ETags of this bucket are not used any more.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from manyserve.agent.download.base import DownloadError, Limits, Progress, RemoteFile

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

log = logging.getLogger("manyserve.agent")

_PAGE_SIZE = 1000
_MAX_PART_BYTES = 255
_MD5 = re.compile(r"[0-9a-f]{32}")


async def list_files(store: ObjectStore, uri: str, prefix: str, limits: Limits) -> list[RemoteFile]:
    """Return the files under a prefix, or the one file with this name. Raises `DownloadError`, obstore's errors."""
    files: list[RemoteFile] = []
    async for page in store.list(prefix, chunk_size=_PAGE_SIZE):
        files += [_remote_file(meta, meta["path"].removeprefix(prefix).strip("/")) for meta in page]
        limits.check(uri, files)
    return without_folders(files) if files else await _single_file(store, prefix)


async def _single_file(store: ObjectStore, key: str) -> list[RemoteFile]:
    try:
        meta = await store.head_async(key)
    except FileNotFoundError:
        return []
    return [_remote_file(meta, PurePosixPath(key).name)]


def without_folders(files: list[RemoteFile]) -> list[RemoteFile]:
    """Return the files without the markers of folders. Raises `DownloadError` for a bad name."""
    paths = Counter(file.path for file in files)  # a marker has no other difference than a slash at its end
    folders = {str(parent) for file in files for parent in PurePosixPath(file.path).parents} | {""}
    for file in files:
        if file.path in folders and file.size:
            raise _refused(file.key, f"it has {file.size} bytes and is a folder, too")
        if paths[file.path] > 1:
            raise _refused(file.key, "it is there twice, with a slash at its end and without")
    return [_checked(file) for file in files if file.path not in folders]


def _checked(file: RemoteFile) -> RemoteFile:
    parts = set(file.path.split("/"))
    if {"..", ".", ""} & parts:
        raise _refused(file.key, "a part of it is empty, . or ..")
    if "\0" in file.path or max(len(part.encode()) for part in parts) > _MAX_PART_BYTES:
        raise _refused(file.key, "no file can have this name")
    return file


def _refused(key: str, problem: str) -> DownloadError:
    return DownloadError(f"the object name {key!r} is refused: {problem}", reason="bad_name", permanent=True)


def _remote_file(meta: ObjectMeta, path: str) -> RemoteFile:
    version = f"{normalized_etag(meta['e_tag'])} {meta['last_modified'].isoformat()}"
    return RemoteFile(key=meta["path"], path=path, size=meta["size"], version=version)


def normalized_etag(etag: str | None) -> str:
    """Return an ETag without quotes and the prefix of a weak one. Responses have both, listings neither."""
    return (etag or "").removeprefix("W/").strip('"')


def listed_etag(file: RemoteFile) -> str:
    """Return the ETag of a listed file; empty when the store has none."""
    return file.version.partition(" ")[0]


class ETagChecksums:
    """The expected checksums of files, and the buckets with ETags that are none."""

    def __init__(self) -> None:
        self._distrusted: set[str] = set()

    def md5(self, bucket: str, file: RemoteFile) -> str | None:
        """Return the expected MD5 of a file in hex digits; None when its ETag is no MD5."""
        etag = listed_etag(file).lower()
        return etag if _MD5.fullmatch(etag) and bucket not in self._distrusted else None

    def distrust(self, bucket: str) -> None:
        """Stop using the ETags of a bucket."""
        if bucket not in self._distrusted:
            self._distrusted.add(bucket)
            log.warning("the ETags of %s are no checksums: its files are checked by their sizes alone", bucket)


class RereadProgress:
    """The progress of a second read. Its bytes come over the network, but take no further space."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def arrived(self, count: int) -> None:
        """Forward the bytes."""
        self._progress.arrived(count)

    def complete(self) -> None:
        """Ignore the end, since other files may follow."""

    def stored(self, count: int) -> None:
        """Ignore the bytes."""
