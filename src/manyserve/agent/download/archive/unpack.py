"""Writing the members of an archive below a folder, whatever the archive says they are.

Nothing but regular files and folders is written, with names that lead downwards only, each once, and no more
of them, no deeper and no larger than is allowed. The archive's own ideas of owners, modes and times are left
aside: files get the modes that the agent's umask gives. Names are judged here, never cleaned up: an archive
with a name that leads elsewhere is not one to be believed in the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from gzip import BadGzipFile
from pathlib import Path

from manyserve.agent.redaction import one_line

CHUNK = 256 * 1024
MOST_PARTS = 64
MOST_PART_BYTES, MOST_NAME_BYTES = 255, 2048
_FREE_RATIO = 64 * 1024 * 1024  # below this, no ratio is a bomb


class ArchiveError(Exception):
    """An archive is refused, or broken, as the text says."""


@dataclass(frozen=True)
class Member:
    """A regular file or a folder in an archive. `name` has surrogates where its bytes are not UTF-8."""

    name: str
    size: int
    is_folder: bool
    chunks: Callable[[], Iterator[bytes]]
    """Yields the content; to be called before the next member is asked for."""


@dataclass(frozen=True)
class Bounds:
    """How much an archive may hold: files and folders, bytes, and times its own size, which is `packed` bytes."""

    files: int
    bytes: int
    ratio: int
    packed: int = 0

    def of(self, packed: int) -> Bounds:
        """Return the bounds of an archive of this size."""
        return replace(self, packed=packed)

    def check(self, files: int, total: int) -> None:
        """Raise `ArchiveError` when it is more."""
        if files > self.files:
            raise ArchiveError(f"it has more than {self.files} entries")
        if total > self.bytes:
            raise ArchiveError(f"it unpacks to more than the limit of {self.bytes} bytes")
        if total > max(_FREE_RATIO, self.ratio * self.packed):
            raise ArchiveError(f"it unpacks to more than {self.ratio} times its size")


class Names:
    """The names in an archive so far, folder by folder: whoever shares a folder, shares what is kept of it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, str], tuple[int, str, bool]] = {}

    def __len__(self) -> int:
        """Return how many files and folders there are, with those that are named by what lies in them alone."""
        return len(self._seen)

    def add(self, name: str, *, is_folder: bool) -> tuple[str, ...]:
        """Return the parts of a name. Raises `ArchiveError` for one that is refused, or that another one is in."""
        parts = parts_of(name)
        if not (parts or is_folder):
            raise ArchiveError(f"{shown(name)} names no file")
        folder = 0
        for depth, part in enumerate(parts, 1):
            inner, known = is_folder or depth < len(parts), len(self._seen)
            folder, spelt, was_folder = self._seen.setdefault((folder, part.casefold()), (known + 1, part, inner))
            if spelt != part:
                other = shown("/".join((*parts[: depth - 1], spelt)))
                raise ArchiveError(f"{shown(name)} and {other} differ only in capital letters")
            if len(self._seen) == known and not (inner and was_folder):
                raise ArchiveError(f"{shown(name)} is there twice")
        return parts


def parts_of(name: str) -> tuple[str, ...]:
    """Return the parts of a name, none for the top itself. Raises `ArchiveError` when it is refused."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    refused = (
        (not _is_utf8(name), "is no UTF-8"),
        (name.startswith("/"), "is an absolute name"),
        (".." in parts, "leads out of the folder"),
        ("\0" in name, "has a NUL in it"),
        ("\n" in name, "has a line break in it"),  # digests are made of lines
        (len(parts) > MOST_PARTS, f"is more than {MOST_PARTS} folders deep"),
        (any(len(part.encode(errors="replace")) > MOST_PART_BYTES for part in parts), "is too long"),
        (len(name) > MOST_NAME_BYTES, "is too long"),
    )
    for holds, says in refused:
        if holds:
            raise ArchiveError(f"{shown(name)} {says}")
    return parts


def shown(name: str) -> str:
    """Return a name, fit to be shown."""
    return one_line(repr(name) if _is_utf8(name) else ascii(name), 120)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unpack(members: Iterable[Member], folder: Path, bounds: Bounds) -> Generator[int]:
    """Write the members and yield the bytes written after each piece. Raises `ArchiveError`, `OSError`."""
    names, files, total = Names(), 0, 0
    for files, member in enumerate(members, 1):
        total += member.size
        parts = names.add(member.name, is_folder=member.is_folder)
        bounds.check(max(files, len(names)), total)  # no member gives more than it says: nothing is written before
        path = folder.joinpath(*parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            yield 0
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield from _written(member, path)
    if not files:
        raise ArchiveError("it is empty")


def _written(member: Member, path: Path) -> Generator[int]:
    written = 0
    with path.open("xb") as output:
        yield 0
        for chunk in member.chunks():
            output.write(chunk)
            written += len(chunk)
            yield len(chunk)
    if written != member.size:
        raise ArchiveError(f"{shown(member.name)} is cut short")


@contextmanager
def broken(what: str) -> Iterator[None]:
    """Turn what the standard library says of a broken archive into `ArchiveError`; the volume's errors stay."""
    try:
        yield
    except ArchiveError:
        raise
    except OSError as error:
        if not isinstance(error, BadGzipFile):
            raise
        raise ArchiveError(f"{what}: {one_line(error)}") from error
    except Exception as error:  # tarfile and zipfile raise a dozen kinds when they meet what they do not expect
        raise ArchiveError(f"{what}: {one_line(error) or type(error).__name__}") from error
