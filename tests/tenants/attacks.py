"""Table of attacks in docs/security.md: the tests of its rows, and a check of the figures that they took.

`python -m tests.tenants.attacks tests` prints the tests. With `figures` it prints each row without a figure that has a
goal, and fails if there is one.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from tests.support.figures import REPORTS
from tests.tenants.tables import PAGE

HEAD = "| attack | figures | tests |"
OTHERS = "tests/tenants"
"""Folder of tests that run in any case, also without a figure."""


class Attack(NamedTuple):
    """One row of the table."""

    name: str
    figures: tuple[str, ...]
    """Parts of the names of figures, each of which belongs to a figure with a goal."""
    tests: tuple[str, ...]
    """Files, or tests as pytest names them."""


def attacks() -> list[Attack]:
    """Return the rows of the table."""
    _, _, rest = PAGE.read_text().partition(f"{HEAD}\n")
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return [Attack(name, _quoted(figures), _quoted(tests)) for name, figures, tests in map(_cells, table)]


def _cells(line: str) -> list[str]:
    return line.strip("| ").split(" | ")


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


def problems(rows: Iterable[Attack], figures: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each part of a name without a figure that has a goal, and for each figure of no row."""
    rows, by_name = list(rows), {figure["name"]: figure for figure in figures}
    for attack in rows:
        for part in attack.figures:
            if not any(part in name and "goal" in figure for name, figure in by_name.items()):
                yield f"{attack.name}: no figure with a goal has {part!r} in its name"
    parts = [part for attack in rows for part in attack.figures]
    for name, figure in by_name.items():
        if "goal" in figure and not any(part in name for part in parts):
            yield f"{name}: the figure belongs to no attack of the table"


def files_of(rows: Iterable[Attack]) -> list[str]:
    """Return the folder of attacks, and the files of rows elsewhere."""
    elsewhere = {test for attack in rows for test in attack.tests if not test.startswith(f"{OTHERS}/")}
    return [OTHERS, *sorted(elsewhere)]


def main(what: str) -> int:
    """Print the tests, or check the figures. Return the exit code."""
    if what == "tests":
        print(*files_of(attacks()))
        return 0
    found = list(problems(attacks(), json.loads((REPORTS / "tenants.json").read_text())["figures"]))
    print("\n".join(found) or "each attack has a figure with a goal")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
