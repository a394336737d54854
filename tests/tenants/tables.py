"""Tables of bounds in docs/security.md, and the cases that try each of their rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from tests.support.programs import PROJECT

PAGE = PROJECT / "docs" / "security.md"
FIRST_CELL = "from outside"
"""Head of the first column; a table of another head has no bounds."""
Case = Callable[[], Awaitable[None] | None]
"""It tries one input just below the limit, which is taken, and one far above it, which is not."""


class Cases(dict[str, Case]):
    """Cases by the first cell of their row."""

    def of(self, row: str) -> Callable[[Case], Case]:
        """Register the case of a row."""

        def register(case: Case) -> Case:
            assert row not in self, row
            self[row] = case
            return case

        return register


def rows() -> dict[str, str]:
    """Return the heading above each row of bounds, by its first cell."""
    found: dict[str, str] = {}
    for heading, line in lines():
        cell = _first_cell(line)
        assert cell not in found, f"two rows begin with {cell!r}"
        found[cell] = heading
    return found


def _first_cell(line: str) -> str:
    return line.split("|")[1].strip() if line.startswith("|") else ""


def lines() -> Iterator[tuple[str, str]]:
    """Return each row of bounds, with the heading above it."""
    heading, is_table = "", False
    for line in map(str.strip, PAGE.read_text().splitlines()):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        first = _first_cell(line)
        if first == FIRST_CELL:
            is_table = True
        elif not line.startswith("|"):
            is_table = False
        elif is_table and first.strip("-"):
            yield heading, line
