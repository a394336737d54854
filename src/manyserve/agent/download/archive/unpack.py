"""Safe unpacking of the members of an archive below a folder.

Only regular files and folders are written, each once, with names that lead downwards. Their number, depth and size
have limits. The archive's owners, modes and times are ignored: files get their modes from the agent's umask.
A bad name is refused, never corrected, because an archive with one deserves no trust in the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from gzip import BadGzipFile
from pathlib import Path

from manyserve.redaction import one_line

CHUNK_BYTES = 256 * 1024
MAX_DEPTH = 64
MAX_PART_BYTES, MAX_NAME_BYTES = 255, 2048
_UNCHECKED_BYTES = 64 * 1024 * 1024  # the ratio of a smaller archive is not limited


class ArchiveError(Exception):
    """An archive is refused or damaged. The text is the cause."""


@dataclass(frozen=True)
class Member:
    """A regular file or a folder in an archive. `name` has surrogates where its bytes are not UTF-8."""

    name: str
    size: int
    is_folder: bool
    chunks: Callable[[], Iterator[bytes]]
    """Yields the content. It must be called before the next member is read."""


@dataclass(frozen=True)
class ArchiveLimits:
    """The largest number of entries, unpacked size and ratio of an archive, which itself has `packed` bytes."""

    files: int
    bytes: int
    ratio: int
    packed: int = 0

    def for_size(self, packed: int) -> ArchiveLimits:
        """Return the limits of an archive of this size."""
        return replace(self, packed=packed)

    def check(self, files: int, total: int) -> None:
        """Raise `ArchiveError` when the entries exceed a limit."""
        if files > self.files:
            raise ArchiveError(f"it has more than {self.files} entries")
        if total > self.bytes:
            raise ArchiveError(f"it unpacks to more than the limit of {self.bytes} bytes")
        if total > max(_UNCHECKED_BYTES, self.ratio * self.packed):
            raise ArchiveError(f"it unpacks to more than {self.ratio} times its size")


class ArchiveNames:
    """The names in an archive so far, as a tree of folders. Names in one folder share its entry."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str], tuple[int, str, bool]] = {}

    def __len__(self) -> int:
        """Return the number of files and folders, including folders that only occur in longer names."""
        return len(self._entries)

    def add(self, name: str, *, is_folder: bool) -> tuple[str, ...]:
        """Return the parts of a name. Raises `ArchiveError` for a bad name, or one that collides with another."""
        parts = split_name(name)
        if not (parts or is_folder):
            raise ArchiveError(f"{quoted(name)} names no file")
        folder = 0
        for depth, part in enumerate(parts, 1):
            is_inner, count = is_folder or depth < len(parts), len(self._entries)
            entry = (count + 1, part, is_inner)
            folder, spelling, was_folder = self._entries.setdefault((folder, part.casefold()), entry)
            if spelling != part:
                other = quoted("/".join((*parts[: depth - 1], spelling)))
                raise ArchiveError(f"{quoted(name)} and {other} differ only in capital letters")
            if len(self._entries) == count and not (is_inner and was_folder):
                raise ArchiveError(f"{quoted(name)} is there twice")
        return parts


def split_name(name: str) -> tuple[str, ...]:
    """Return the parts of a name; none for the top folder. Raises `ArchiveError` for a bad name."""
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    checks = (
        (not _is_utf8(name), "is no UTF-8"),
        (name.startswith("/"), "is an absolute name"),
        (".." in parts, "leads out of the folder"),
        ("\0" in name, "has a NUL in it"),
        ("\n" in name, "has a line break in it"),  # digests consist of lines
        (len(parts) > MAX_DEPTH, f"is more than {MAX_DEPTH} folders deep"),
        (any(len(part.encode(errors="replace")) > MAX_PART_BYTES for part in parts), "is too long"),
        (len(name) > MAX_NAME_BYTES, "is too long"),
    )
    for is_refused, problem in checks:
        if is_refused:
            raise ArchiveError(f"{quoted(name)} {problem}")
    return parts


def quoted(name: str) -> str:
    """Return a name in quotes, printable and at most 120 characters long."""
    return one_line(repr(name) if _is_utf8(name) else ascii(name), 120)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unpack(members: Iterable[Member], folder: Path, limits: ArchiveLimits) -> Generator[int]:
    """Write the members and yield the bytes written after each piece. Raises `ArchiveError`, `OSError`."""
    names, files, total = ArchiveNames(), 0, 0
    for files, member in enumerate(members, 1):
        total += member.size
        parts = names.add(member.name, is_folder=member.is_folder)
        limits.check(max(files, len(names)), total)  # before any write, since no member exceeds its declared size
        path = folder.joinpath(*parts)
        if member.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            yield 0
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield from _write(member, path)
    if not files:
        raise ArchiveError("it is empty")


def _write(member: Member, path: Path) -> Generator[int]:
    written = 0
    with path.open("xb") as output:
        yield 0
        for chunk in member.chunks():
            output.write(chunk)
            written += len(chunk)
            yield len(chunk)
    if written != member.size:
        raise ArchiveError(f"{quoted(member.name)} is cut short")


@contextmanager
def archive_errors(problem: str) -> Iterator[None]:
    """Convert the standard library's errors of a damaged archive to `ArchiveError`. Errors of the volume stay."""
    try:
        yield
    except ArchiveError:
        raise
    except OSError as error:
        if not isinstance(error, BadGzipFile):
            raise
        raise ArchiveError(f"{problem}: {one_line(error)}") from error
    except Exception as error:  # tarfile and zipfile raise a dozen types for unexpected content
        raise ArchiveError(f"{problem}: {one_line(error) or type(error).__name__}") from error
