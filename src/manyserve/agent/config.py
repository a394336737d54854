"""Reader of `models.json`, the desired models, as the kubelet mounts it.

The kubelet swaps a ConfigMap's folder by a symlink, so a change shows in the `stat` of the links and the file.
A file that cannot be read, is not JSON, or is not a list of entries changes nothing: the last good config stays in
force, and the report has the error. A config above the size of a ConfigMap's text is `models.json.gz`; its hash is
the hash of the unpacked text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from manyserve.api import modelconfig
from manyserve.api.modelconfig import Entry
from manyserve.redaction import one_line

_FORCED_READ_EVERY = 50  # polls; finds a change that the times of the file do not show


@dataclass(frozen=True)
class Config:
    """A `models.json` in force."""

    entries: Mapping[str, Entry]
    hash: str


class ConfigFile:
    """The file, its last good config and its last error."""

    def __init__(self, path: Path) -> None:
        self._paths = (path, path.with_name(f"{path.name}.gz"))
        self._identities: object = None
        self._polls = 0
        self._rejected = ("", "")
        """Hash and error of the last invalid text, so that it is parsed only once."""
        self.config: Config | None = None
        self.error = ""

    def refresh(self) -> bool:
        """Read the file if it changed. Return whether the config in force or the error changed."""
        identities = tuple(_identity(path) for path in (*self._paths, self._paths[0].parent / "..data"))
        self._polls = (self._polls + 1) % _FORCED_READ_EVERY
        if identities == self._identities and self._polls:
            return False
        self._identities = identities
        before = (self.config and self.config.hash, self.error)
        self._read()
        return before != (self.config and self.config.hash, self.error)

    def _read(self) -> None:
        try:
            data = self._text()
            if data is None:
                self.error = f"{self._paths[0]} is gone" if self.config else ""
                return
            self._put_in_force(data, modelconfig.content_hash(data))
            self.error = ""
        except (OSError, ValueError) as error:
            self.error = f"{self._paths[0]} cannot be used: {one_line(error)}"

    def _put_in_force(self, data: bytes, content_hash: str) -> None:
        """Parse a text and put it in force. Raises `ValueError` when it is invalid."""
        if self.config is not None and self.config.hash == content_hash:
            return
        rejected_hash, reason = self._rejected
        if rejected_hash == content_hash:
            raise ValueError(reason)
        try:
            entries = modelconfig.parse(data)
        except ValueError as error:
            self._rejected = (content_hash, str(error))
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
    """Return a value that changes when the file, or the target of the link, does."""
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
