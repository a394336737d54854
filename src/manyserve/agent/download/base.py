"""The interface of downloaders: listings, limits, progress callbacks and the error of a failed download."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 256 * 1024
"""Bytes of a chunk from the network. A connection has stalled when one takes longer than `stall_seconds` (30 s)."""


class Progress(Protocol):
    """Callbacks for the bytes of a download. `stored` raises `DownloadError` when the volume has no space left."""

    def arrived(self, count: int) -> None:
        """Add bytes that came over the network."""

    def complete(self) -> None:
        """Note that all bytes came over the network, before they are checked and unpacked."""

    def stored(self, count: int) -> None:
        """Add bytes that go to the volume. An archive counts with its own size and its unpacked size."""


SLOW_REASONS = frozenset({"slow", "stalled", "timeout"})
"""Reasons of errors after which a download is tried again in a slow slot."""


class DownloadError(Exception):
    """A failed download. The text is one sentence with the cause."""

    def __init__(self, sentence: str, *, reason: str = "unavailable", permanent: bool = False) -> None:
        super().__init__(sentence)
        self.reason = reason
        """The label of the metric, one word."""
        self.permanent = permanent
        """A retry alone is not expected to help."""


def with_hint(error: DownloadError, hint: str) -> DownloadError:
    """Return the error with a hint at the end of its sentence."""
    return DownloadError(f"{error}; {hint}", reason=error.reason, permanent=error.permanent)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model at its source, or one empty folder."""

    key: str
    """The name at the source."""
    path: str
    """The path below the model's folder, with slashes; empty when only the content decides it."""
    size: int
    version: str = ""
    """A text of the source that changes with the content."""
    is_folder: bool = False
    """An empty folder. Other folders follow from the paths of their files."""


@dataclass(frozen=True)
class Listing:
    """The files and empty folders that a source holds under a URI."""

    uri: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """The sum of all sizes in bytes; 0 when the source does not announce it."""
        return sum(file.size for file in self.files)

    @property
    def is_versioned(self) -> bool:
        """Whether the source names a version of each file, so that a change of the content is noticed."""
        return all(file.version or file.is_folder for file in self.files)

    @property
    def fingerprint(self) -> str:
        """A hash that changes when any file changes, or the set of empty folders."""
        rows = sorted(f"{file.path}{'/' * file.is_folder}\0{file.size}\0{file.version}" for file in self.files)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest number of files and folders, and of bytes, of a model."""

    files: int
    bytes: int

    def check(self, uri: str, files: Sequence[RemoteFile]) -> None:
        """Raise `DownloadError` when the files exceed a limit."""
        total = sum(file.size for file in files)
        if has_more_entries(files, self.files):
            raise self.too_many(uri)
        if total > self.bytes:
            sentence = f"{uri} has {total} bytes, more than the limit of {self.bytes}"
            raise DownloadError(sentence, reason="too_large", permanent=True)

    def too_many(self, uri: str) -> DownloadError:
        """Return the error of a model with too many files."""
        return DownloadError(f"{uri} has more than {self.files} files and folders", reason="too_large", permanent=True)


def has_more_entries(files: Sequence[RemoteFile], limit: int) -> bool:
    """Return whether the files and all their folders are more than the limit. It keeps no more than that in memory."""
    folders: set[str] = set()
    for file in files:
        folder = file.path.rpartition("/")[0]
        while folder and folder not in folders and len(files) + len(folders) <= limit:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return len(files) + len(folders) > limit


class Downloader(Protocol):
    """A reader of models from one kind of source. Both calls raise `DownloadError` and may be cancelled."""

    async def find(self, uri: str) -> Listing:
        """List the files under a URI. A listing has at least one file."""

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> Listing:
        """Write the files below the folder. Each then has its listed size and its checksum.

        The returned listing has the versions of what was read, as far as the responses name them.
        """
