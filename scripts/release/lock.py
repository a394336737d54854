"""The locked packages of the image: requirements/runtime.txt as names, versions and dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)")
_NOTE = "    #"


@dataclass(frozen=True)
class Locked:
    """One package of a lock, with the packages that need it."""

    name: str
    version: str
    needed_by: tuple[str, ...]


def locked(text: str) -> list[Locked]:
    """Return the packages of a lock that uv wrote, in its order."""
    return list(_locked(text.splitlines()))


def _locked(lines: list[str]) -> Iterator[Locked]:
    starts = [index for index, line in enumerate(lines) if _PIN.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        found = _PIN.match(lines[start])
        if found is None:
            continue
        notes = (line.removeprefix(_NOTE).strip() for line in lines[start:end] if line.startswith(_NOTE))
        words = (note.removeprefix("via").strip() for note in notes)
        yield Locked(found["name"], found["version"], tuple(word for word in words if word))


def installed_bytes(name: str) -> int:
    """Return the size of an installed package, from the list of its files."""
    files = distribution(name).files or ()
    return sum(path.stat().st_size for path in {Path(str(each.locate())) for each in files} if path.is_file())
