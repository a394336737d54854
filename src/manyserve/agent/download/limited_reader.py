"""A file that gives no more than it is allowed to, for readers that would read whatever a header says.

tarfile and zipfile read names, extended headers and directories into memory, as long as the archive says that
they are. So they are given this between them and the archive.
"""

from __future__ import annotations

import io
from typing import IO

from manyserve.agent.download.archive.unpack import ArchiveError


class LimitedReader(io.RawIOBase):
    """Reads from a file while `left` lasts; every byte read counts."""

    def __init__(self, source: IO[bytes], left: int) -> None:
        super().__init__()
        self._source = source
        self.left = left
        self.last = b""
        """What was read last."""

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return bytes. Raises `ArchiveError` when they are more than are left."""
        asked = self.left + 1 if size is None or size < 0 else size
        if size is not None and size > self.left:
            raise ArchiveError("its headers are too long")
        self.last = self._source.read(asked)
        self.left -= len(self.last)
        if self.left < 0:
            raise ArchiveError("its headers are too long")
        return self.last

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go elsewhere."""
        return self._source.seek(offset, whence)

    def tell(self) -> int:
        """Return where it is."""
        return self._source.tell()
