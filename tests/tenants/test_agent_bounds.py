"""The tables of bounds on the agent in `docs/security.md` hold: each row has a case that tries both sides of it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.agent.support import DROPPED_STREAMS
from tests.support.programs import PROJECT
from tests.tenants.agent_bounds import AGENT_CASES

pytestmark = DROPPED_STREAMS

TABLES = ("* **A model and its server.**", "## Bounds of downloads")
"""The line at which the part with each table begins."""


def rows(start: str) -> list[str]:
    """Return the first cells of the first table behind a line."""
    text = (PROJECT / "docs" / "security.md").read_text().partition(f"\n{start}")[2]
    table = re.search(r"^ *\| from outside \|.*\n *\|[- |]+\|\n((?: *\|.*\n)+)", text, re.MULTILINE)
    assert table, f"there is no table behind {start}"
    return [line.strip().strip("|").split(" | ")[0].strip() for line in table[1].splitlines()]


def test_every_bound_of_the_agent_has_a_case() -> None:
    found = [row for table in TABLES for row in rows(table)]
    assert len(found) > 20
    assert sorted(found) == sorted(AGENT_CASES)


@pytest.mark.parametrize("row", AGENT_CASES)
async def test_bound_of_the_agent_holds_on_both_sides(tmp_path: Path, row: str) -> None:
    result = AGENT_CASES[row](tmp_path)
    if inspect.isawaitable(result):
        await result
