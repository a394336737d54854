"""The wanted models: `models.json` as the kubelet mounts it, read whenever it changes.

A ConfigMap's folder is swapped by a symlink, so a cheap look at the links and the file tells of a change. A
file that cannot be read, is not JSON, or is not a list of entries changes nothing: the last good one stays in
force, and the report says why. Above what a ConfigMap holds as text, the file is `models.json.gz`; the hash
is that of the text inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manyserve.agent.redaction import one_line
from manyserve.api import modelconfig
from manyserve.api.modelconfig import Entry

_LOOKS_BEFORE_READING_ANYWAY = 50


@dataclass(frozen=True)
class Config:
    """A `models.json` in force."""

    entries: Mapping[str, Entry]
    hash: str


class ConfigFile:
    """The file, and what was last known of it."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}.gz"))
        self._seen: object = None
        self._looks = 0
        self._refused = ("", "")
        """The hash of the last text that could not be used, and why: it is not read again and again."""
        self.config: Config | None = None
        self.error = ""

    def look(self) -> bool:
        """Read the file if it changed. Tell whether the config in force or the error is another than before."""
        seen = tuple(_identity(path) for path in (*self._paths, self._paths[0].parent / "..data"))
        self._looks = (self._looks + 1) % _LOOKS_BEFORE_READING_ANYWAY
        if seen == self._seen and self._looks:
            return False
        self._seen = seen
        before = (self.config and self.config.hash, self.error)
        self._read()
        return before != (self.config and self.config.hash, self.error)

    def _read(self) -> None:
        try:
            data = self._text()
            if data is None:
                self.error = f"{self._paths[0]} is gone" if self.config else ""
                return
            self._take(data, modelconfig.content_hash(data))
            self.error = ""
        except (OSError, ValueError) as error:
            self.error = f"{self._paths[0]} cannot be used: {one_line(error)}"

    def _take(self, data: bytes, content_hash: str) -> None:
        """Put a text in force. Raises `ValueError` when it cannot be used."""
        if self.config is not None and self.config.hash == content_hash:
            return
        refused, why = self._refused
        if refused == content_hash:
            raise ValueError(why)
        try:
            entries = modelconfig.parse(data)
        except ValueError as error:
            self._refused = (content_hash, str(error))
            raise
        self.config = Config({entry.model_name: entry for entry in entries}, content_hash)

    def _text(self) -> bytes | None:
        """Return the text, or None while there is no file."""
        plain, packed = self._paths
        try:
            with plain.open("rb") as file:
                return file.read(modelconfig.MAX_BYTES + 1)
        except FileNotFoundError:
            pass
        try:
            return modelconfig.unpack(packed.read_bytes())
        except FileNotFoundError:
            return None


def _identity(path: Path) -> object:
    """Return what changes when the file, or where the link leads, does."""
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
