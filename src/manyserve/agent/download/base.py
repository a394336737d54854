"""The words of downloading: what a source has, what may go wrong, and what a downloader is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Who is told how a download gets on. Both raise `DownloadError` when the volume has no more room."""

    def arrived(self, count: int) -> None:
        """So many bytes came over the network."""

    def stored(self, count: int) -> None:
        """So many bytes go to the volume: of an archive its own, then those that it unpacks to."""


class DownloadError(Exception):
    """A download failed, for the reason that the text gives in one sentence."""

    def __init__(self, sentence: str, *, reason: str = "unavailable", permanent: bool = False) -> None:
        super().__init__(sentence)
        self.reason = reason
        """One word for the metric."""
        self.permanent = permanent
        """A retry alone is not expected to help."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model."""

    key: str
    """Its name at the source."""
    path: str
    """Its name below the model's folder, parts separated by slashes; empty while only its content can tell."""
    size: int
    version: str = ""
    """Whatever the source tells that changes with the content."""


@dataclass(frozen=True)
class Listing:
    """What a source holds under a URI."""

    uri: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """All bytes together; 0 where the source does not tell before."""
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """A hash that changes when any file does."""
        rows = sorted(f"{file.path}\0{file.size}\0{file.version}" for file in self.files)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a model may be."""

    files: int
    bytes: int

    def check(self, uri: str, files: Sequence[RemoteFile]) -> None:
        """Raise `DownloadError` when it is more."""
        total = sum(file.size for file in files)
        if len(files) > self.files:
            raise DownloadError(f"{uri} has more than {self.files} files", reason="too_large", permanent=True)
        if total > self.bytes:
            sentence = f"{uri} has {total} bytes, more than the limit of {self.bytes}"
            raise DownloadError(sentence, reason="too_large", permanent=True)


class Downloader(Protocol):
    """Reads models from one kind of source. Both calls raise `DownloadError` and may be cancelled."""

    async def find(self, uri: str) -> Listing:
        """Return what is there: at least one file, or an error."""

    async def fetch(self, listing: Listing, folder: Path, progress: Progress) -> None:
        """Write the files below the folder. Returns when all are whole, of the listed size and checksum."""
