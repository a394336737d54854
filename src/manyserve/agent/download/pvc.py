"""Models on a PersistentVolumeClaim, `pvc://claim/path`: the operator mounts the claim into the pod, read-only.

Others may write to the claim meanwhile, and it may hold links. A link to a file of the same claim is as good as
the file; a link to a folder is refused, since it may lead in a circle. Each file is opened first and judged then:
what is open must be a regular file that lies within the claim, whatever its name led through.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from manyserve.agent.concurrency import in_steps, in_thread
from manyserve.agent.download.base import DownloadError, Limits, Listing, Progress, RemoteFile
from manyserve.agent.redaction import one_line
from manyserve.agent.settings import AgentSettings
from manyserve.api.storageuri import claim_of

CHUNK = 1024 * 1024
_CLAIM = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class ClaimDownloader:
    """A downloader for the claims below the folder where the operator mounts them."""

    def __init__(self, settings: AgentSettings) -> None:
        self._root = settings.sources.pvc_dir
        self._limits = Limits(settings.max_files, settings.max_bytes)
        self._threads = settings.parallel_downloads
        self._pools: dict[str, ThreadPoolExecutor] = {}

    async def find(self, uri: str) -> Listing:
        """List the files under the path: those of a folder, or the one file that it names."""
        return Listing(uri, await in_thread(self._listed, uri, pool=self._pool(uri)))

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Copy the files."""

        def tell(count: int) -> None:
            progress.arrived(count)
            progress.stored(count)

        await in_steps(self._copied(listing, folder), tell, pool=self._pool(listing.uri))

    def _pool(self, uri: str) -> ThreadPoolExecutor:
        """Return the threads for a claim: one whose server is gone hangs, and holds up nobody but its own models."""
        claim = claim_of(uri) or ""
        if claim not in self._pools:
            self._pools[claim] = ThreadPoolExecutor(self._threads, f"claim-{claim}")
        return self._pools[claim]

    def _listed(self, uri: str) -> tuple[RemoteFile, ...]:
        claim, start = self._place(uri)
        found: list[RemoteFile] = []
        for path in _files(start, uri):
            with _opened(path, claim, uri) as file:
                seen = os.fstat(file.fileno())
            name = path.name if path == start else str(path.relative_to(start))
            if not name.isprintable():
                raise _refused(uri, path, "has a name that cannot be printed")
            found.append(RemoteFile(str(path.relative_to(claim)), name, seen.st_size, str(seen.st_mtime_ns)))
            if len(found) > self._limits.files:
                break
        self._limits.check(uri, found)
        if not found:
            raise DownloadError(f"{uri} has no files", reason="not_found", permanent=True)
        return tuple(found)

    def _place(self, uri: str) -> tuple[Path, Path]:
        """Return where the claim is mounted, and the path in it. Raises `DownloadError`."""
        parts = urlsplit(uri)
        inner = [part for part in parts.path.split("/") if part not in {"", "."}]
        if not _CLAIM.fullmatch(parts.netloc) or ".." in inner or "\0" in uri:
            sentence = f"{one_line(uri)} does not name a claim and a path in it"
            raise DownloadError(sentence, reason="bad_uri", permanent=True)
        claim = self._root / parts.netloc
        if not claim.is_dir():
            says = (
                f"the claim {parts.netloc} is not mounted yet; the pods of the host are replaced by ones that have it"
            )
            raise DownloadError(f"{uri} could not be read: {says}", reason="not_mounted")
        return claim.resolve(), claim.resolve().joinpath(*inner)

    def _copied(self, listing: Listing, folder: Path) -> Generator[int]:
        claim, _ = self._place(listing.uri)
        for file in listing.files:
            target = folder / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            written = 0
            with _opened(claim / file.key, claim, listing.uri) as source, target.open("xb") as output:
                while written <= file.size and (chunk := source.read(CHUNK)):
                    written += output.write(chunk)
                    yield len(chunk)
            if written != file.size:
                raise DownloadError(f"{listing.uri} changed while it was copied", reason="changed")


def _files(start: Path, uri: str) -> Iterator[Path]:
    """Yield what is below a path and no folder, in the order of names."""
    if not start.is_dir():
        yield start
    for folder, inner, names in os.walk(start):
        inner.sort()
        for name in inner:
            if (Path(folder) / name).is_symlink():
                raise _refused(uri, Path(folder) / name, "is a link to a folder")
        yield from (Path(folder) / name for name in sorted(names))


def _opened(path: Path, claim: Path, uri: str) -> BinaryIO:
    """Open a file of the claim. Raises `DownloadError` when it is none, or lies elsewhere."""
    try:
        # not without a look: to open a device may do something; a pipe that comes in between is not waited for
        if not stat.S_ISREG(path.stat().st_mode):
            raise _refused(uri, path, "is no regular file")
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            raise DownloadError(f"{uri} was not found on the claim", reason="not_found", permanent=True) from None
        says = f"{path.name} of {uri} could not be read: {error.strerror}"
        raise DownloadError(one_line(says), reason="unavailable") from error
    real = Path(f"/proc/self/fd/{file.fileno()}").readlink()
    lies_within = real.is_relative_to(claim)
    if not lies_within or not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise _refused(uri, path, "is no regular file" if lies_within else "leads out of the claim")
    return file


def _refused(uri: str, path: Path, says: str) -> DownloadError:
    return DownloadError(one_line(f"{path.name} of {uri} {says}"), reason="bad_name", permanent=True)
