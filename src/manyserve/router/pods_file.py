"""Reader of `pods.json`, as the kubelet mounts it. The last good list stays in force."""

from __future__ import annotations

import logging
from pathlib import Path

from manyserve.api.modelconfig import content_hash
from manyserve.api.routes import MAX_BYTES, Pod, read_pods
from manyserve.redaction import one_line

log = logging.getLogger("manyserve.router")


class PodsFile:
    """The file, its last good list and its last error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text: bytes | None = None
        self.pods: tuple[Pod, ...] | None = None
        self.error = ""
        self.hash = ""
        """`content_hash` of the text in force."""

    def refresh(self) -> bool:
        """Read the file. Return whether there is a new list."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES)
        except FileNotFoundError:
            self._fail(f"{self._path} is not there" if self.pods is None else f"{self._path} is gone")
            return False
        except OSError as error:
            self._fail(f"{self._path} cannot be read: {one_line(error)}")
            return False
        if text == self._text:
            return False
        self._text = text
        return self._parse(text)

    def _parse(self, text: bytes) -> bool:
        try:
            self.pods = read_pods(text)
        except ValueError as error:
            self._fail(f"{self._path} cannot be used: {one_line(error)}")
            return False
        self.error, self.hash = "", content_hash(text)
        return True

    def _fail(self, error: str) -> None:
        if error != self.error:
            log.warning("The pods in force are kept: %s", error)
        self.error, self._text = error, self._text if "used" in error else None
