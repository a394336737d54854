"""A file with a limit on the bytes read, for parsers that trust the sizes in headers.

tarfile and zipfile read names, extended headers and directories into memory, as long as the archive claims they are.
This reader stands between them and the archive.
"""

from __future__ import annotations

import io
from typing import IO

from manyserve.agent.download.archive.unpack import ArchiveError


class LimitedReader(io.RawIOBase):
    """A reader of at most `left` bytes of a file. A seek gives none of them back."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        super().__init__()
        self._source = source
        self.left = left
        self.last = b""
        """The result of the last read."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read bytes. Raises `ArchiveError` when they exceed the limit."""
        requested = self.left + 1 if size is None or size < 0 else size
        if size is not None and size > self.left:
            raise ArchiveError("its headers are too long")
        self.last = self._source.read(requested)
        self.left -= len(self.last)
        if self.left < 0:
            raise ArchiveError("its headers are too long")
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position and return it. `IOBase.tell` calls this, too."""
        return self._source.seek(offset, whence)
