"""Models on a PersistentVolumeClaim, `pvc://claim/path`. The operator mounts the claim into the pod, read-only.

Other pods may write to the claim meanwhile, and it may hold links. A link to a file of the same claim is read as the
file. A link to a folder is refused, because it may lead in a circle. An empty folder is part of the model: Triton
requires one of an ensemble. An archive that is the only file is unpacked, as in KServe.
Each file is opened first and checked afterwards: the open file must be a regular file within the claim.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from manyserve.agent.concurrency import in_steps, in_thread
from manyserve.agent.download.archive.unpacker import Unpacker
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.settings import AgentSettings
from manyserve.api.storageuri import claim_of
from manyserve.redaction import one_line

CHUNK_BYTES = 1024 * 1024
_RECOVERY = "lost+found"  # the file system's own folder at the top of a volume, which only root may read
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class ClaimDownloader:
    """The downloader for claims, below the folder where the operator mounts them."""

    def __init__(self, settings: AgentSettings, unpacker: Unpacker) -> None:
        self._root = settings.sources.pvc_dir
        self._limits = Limits(settings.max_files, settings.max_bytes)
        self._unpacker = unpacker
        self._threads = settings.parallel_downloads
        self._pools: dict[str, ThreadPoolExecutor] = {}

    async def find(self, uri: str) -> Listing:
        """List the files and empty folders of the folder at the path, or the one file at the path."""
        return Listing(uri, await in_thread(self._list, uri, pool=self._pool(uri)))

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> Listing:
        """Copy the files. Unpack an archive that is the only one."""

        def on_copied(count: int) -> None:
            progress.arrived(count)
            progress.stored(count)

        await in_steps(self._copy(listing, folder), on_copied, pool=self._pool(listing.uri))
        progress.complete()
        await self._unpacker.unpack_only_file(listing.uri, folder, progress)
        return listing

    def _pool(self, uri: str) -> ThreadPoolExecutor:
        """Return the threads of a claim. A claim that hangs then blocks no other claim."""
        claim = claim_of(uri) or ""
        if claim not in self._pools:
            self._pools[claim] = ThreadPoolExecutor(self._threads, f"claim-{claim}")
        return self._pools[claim]

    def _list(self, uri: str) -> tuple[RemoteFile, ...]:
        claim, start = self._locate(uri)
        files: list[RemoteFile] = []
        for path, is_folder in _walk(start, claim, uri, self._limits):
            name = path.name if path == start else str(path.relative_to(start))
            if not name.isprintable():
                raise _refused(uri, path, "has a name that cannot be printed")
            if is_folder:
                files.append(RemoteFile(str(path.relative_to(claim)), name, 0, is_folder=True))
            else:
                files.append(_remote_file(path, claim, name, uri))
            if len(files) > self._limits.files:
                break
        self._limits.check(uri, files)
        if all(file.is_folder for file in files):
            raise DownloadError(f"{uri} has no files", reason="not_found", permanent=True)
        return tuple(files)

    def _locate(self, uri: str) -> tuple[Path, Path]:
        """Return the mount point of the claim, and the path in it. Raises `DownloadError`."""
        parts = urlsplit(uri)
        inner = [part for part in parts.path.split("/") if part not in {"", "."}]
        if not _CLAIM.fullmatch(parts.netloc) or ".." in inner or "\0" in uri:
            sentence = f"{one_line(uri)} does not name a claim and a path in it"
            raise DownloadError(sentence, reason="bad_uri", permanent=True)
        claim = self._root / parts.netloc
        if not claim.is_dir():
            problem = (
                f"the claim {parts.netloc} is not mounted yet; the pods of the host are replaced by ones that have it"
            )
            raise DownloadError(f"{uri} could not be read: {problem}", reason="not_mounted")
        return claim.resolve(), claim.resolve().joinpath(*inner)

    def _copy(self, listing: Listing, folder: Path) -> Generator[int]:
        claim, _ = self._locate(listing.uri)
        for file in listing.files:
            target = folder / file.path
            if file.is_folder:
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                yield from _copy_file(file, claim, target, listing.uri)


def _walk(start: Path, claim: Path, uri: str, limits: Limits) -> Iterator[tuple[Path, bool]]:
    """Yield the files below a path, or the path itself when it is no folder; with True, the empty folders."""
    folders = [start] if start.is_dir() else []
    if not folders:
        yield start, False
    elif not start.resolve().is_relative_to(claim):
        raise _refused(uri, start, "leads out of the claim")
    while folders:
        folder = folders.pop()
        inner, names = _entries(folder, uri, limits)
        inner = [name for name in inner if folder != claim or name != _RECOVERY]
        for name in inner:
            if (folder / name).is_symlink():
                raise _refused(uri, folder / name, "is a link to a folder")
        if folder != start and not inner and not names:
            yield folder, True
        yield from ((folder / name, False) for name in names)
        folders += [folder / name for name in reversed(inner)]


def _entries(folder: Path, uri: str, limits: Limits) -> tuple[list[str], list[str]]:
    """Return the sorted names of the folders and of the files in a folder, which are never more than a model has."""
    try:
        with os.scandir(folder) as entries:
            kinds = {entry.name: _is_dir(entry) for entry in islice(entries, limits.files + 2)}  # 1 for lost+found
    except OSError as error:
        raise DownloadError(one_line(f"{folder.name} of {uri} could not be read: {error.strerror}")) from error
    if len(kinds) > limits.files + 1:
        raise limits.too_many(uri)
    return sorted(name for name, is_dir in kinds.items() if is_dir), sorted(
        name for name, is_dir in kinds.items() if not is_dir
    )


def _is_dir(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one. A circular link is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _remote_file(path: Path, claim: Path, name: str, uri: str) -> RemoteFile:
    with _open(path, claim, uri) as file:
        status = os.fstat(file.fileno())
    return RemoteFile(str(path.relative_to(claim)), name, status.st_size, str(status.st_mtime_ns))


def _copy_file(file: RemoteFile, claim: Path, target: Path, uri: str) -> Generator[int]:
    """Copy a file and yield the bytes of each step."""
    written = 0
    with _open(claim / file.key, claim, uri) as source, target.open("xb") as output:
        while written <= file.size and (chunk := source.read(CHUNK_BYTES)):
            written += output.write(chunk)
            yield len(chunk)
    if written != file.size:
        raise DownloadError(f"{uri} changed while it was copied", reason="changed")


def _open(path: Path, claim: Path, uri: str) -> BinaryIO:
    """Open a regular file within the claim. Raises `DownloadError` for any other path."""
    try:
        # checked before the open, since to open a device may act on it; O_NONBLOCK: a pipe may replace the file
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(uri, path, "is no regular file")
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            raise DownloadError(f"{uri} was not found on the claim", reason="not_found", permanent=True) from None
        sentence = f"{path.name} of {uri} could not be read: {error.strerror}"
        raise DownloadError(one_line(sentence), reason="unavailable") from error
    real = Path(f"/proc/self/fd/{file.fileno()}").readlink()
    is_inside = real.is_relative_to(claim)
    if not is_inside or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _refused(uri, path, "is no regular file" if is_inside else "leads out of the claim")
    return file


def _refused(uri: str, path: Path, problem: str) -> DownloadError:
    return DownloadError(one_line(f"{path.name} of {uri} {problem}"), reason="bad_name", permanent=True)
