"""What the secrets of the host's ServiceAccount say: one folder a secret, one file a key, read when they change.

The kubelet swaps a Secret's folder by the link `..data`, so a look at the links tells of a change, and what is
read is read through one version of the link: two keys that belong together are of the same version. Values
lose the white space around them, since many a key was made with `echo`; what is no text is no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

Secret = Mapping[str, str]
"""The keys of one secret and their values."""
Folders = Mapping[str, Secret]
"""Secrets by name, in the order of their names."""

_MOST_BYTES = 1024 * 1024  # more than Kubernetes lets a secret have
_LOOKS = 5  # while the folder is swapped under the reader


class Secrets:
    """The secrets below a folder, which need not exist. Its repr names no value."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: tuple[object, Folders] = (None, {})  # one value: threads of several downloads look at it

    def __repr__(self) -> str:
        return f"Secrets({str(self._root)!r})"

    def folders(self) -> Folders:
        """Return all secrets as they are now."""
        for _ in range(_LOOKS):
            seen, (before, folders) = _identity(self._root), self._known
            if seen == before:
                return folders
            self._known = (seen, _read(self._root))
        return self._known[1]

    def get(self, key: str) -> str | None:
        """Return the value of a key in the first secret, by name, that has it; an empty one is none."""
        return next((secret[key] for secret in self.folders().values() if secret.get(key)), None)


def _read(root: Path) -> Folders:
    return {folder.name: _secret(folder) for folder in _secrets(root)}


def _secret(folder: Path) -> Secret:
    version = _version(folder)
    found = ((name, text_of(version / name)) for name in _names(version))
    return {name: value for name, value in found if value is not None}


def _version(folder: Path) -> Path:
    """Return the folder that the link leads to at this moment, so that all keys are read from one."""
    try:
        return folder / (folder / "..data").readlink()
    except OSError:
        return folder


def text_of(path: Path) -> str | None:
    """Return the text of a file that somebody else names; None when it is none, is no text, or too long."""
    try:
        if not path.is_file():  # a device gives bytes for ever, and a pipe none
            return None
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        return data.decode().strip() if len(data) <= _MOST_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _identity(root: Path) -> object:
    """Return what changes when any secret does."""
    return tuple((folder.name, *_marks(folder)) for folder in _secrets(root))


def _marks(folder: Path) -> Iterator[object]:
    version = _version(folder)
    for path in (version, *(version / name for name in _names(version))):
        try:
            found = path.stat()
        except OSError:
            continue
        yield (path.name, found.st_ino, found.st_mtime_ns, found.st_size)


def _secrets(root: Path) -> list[Path]:
    return [root / name for name in _names(root) if (root / name).is_dir()]


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, in order, without those that the kubelet keeps for itself."""
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".."))
    except OSError:
        return []
