"""The files of the project that hold English, and the pieces of each that are checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.english.source import COMMENT, DOCSTRING, MESSAGE, NAME, Piece, pieces

ROOT = Path(__file__).parents[3]
PROJECT = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs",
    "deploy",
    "webhooks",
    "src",
    "bench",
    "tests",
)
SUFFIXES = {".md", ".py", ".yaml", ".tpl", ".txt"}
CHECKED = {  # the kinds of pieces of Python outside src; the messages of tests and tools are not the product's
    "tests": {DOCSTRING, NAME},
    "bench": {DOCSTRING, COMMENT, NAME},
    "deploy": {DOCSTRING, COMMENT, NAME},
    "webhooks": {DOCSTRING, COMMENT, NAME},
    "src": {DOCSTRING, COMMENT, MESSAGE, NAME},
}
SKIPPED = ("tests/data", "deploy/chart/files")


def pieces_of(paths: Iterable[Path] = ()) -> Iterator[Piece]:
    """Return what is checked in these files and folders, or in the whole project."""
    for start in list(paths) or [ROOT / name for name in PROJECT]:
        for path in sorted(start.resolve().rglob("*")) if start.is_dir() else [start.resolve()]:
            if path.is_file() and _has_english(path.relative_to(ROOT)):
                yield from _checked(path.relative_to(ROOT))


def _has_english(path: Path) -> bool:
    """Say no for data, generated files and lists of requirements."""
    name = path.as_posix()
    listed = path.suffix == ".txt" and path.name != "NOTES.txt"
    rendered = name.startswith("webhooks/") and path.suffix == ".yaml"
    return path.suffix in SUFFIXES and not (name.startswith(SKIPPED) or listed or rendered)


def _checked(path: Path) -> Iterator[Piece]:
    kinds = CHECKED.get(path.parts[0], set())
    for piece in pieces(ROOT / path):
        if path.suffix != ".py" or piece.kind in kinds:
            yield Piece(piece.kind, path, piece.block)
