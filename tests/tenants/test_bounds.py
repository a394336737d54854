"""Walk through the bounds of docs/security.md: an input below each limit is taken, and one far above it is not.

A row without a case fails, and so does a case without a row. The figures of all rows are those of the constants.
"""

from __future__ import annotations

import inspect

import pytest

from tests.support.figures import Figures
from tests.tenants import object_bounds, report_bounds, review_bounds
from tests.tenants.agent_bounds import AGENT_CASES
from tests.tenants.constants import wrong_figures
from tests.tenants.tables import Case, lines, rows

OF_AGENTS = ("Security", "Bounds of downloads")
"""Headings of the tables with the bounds of agents, which have cases of their own."""
CASES: dict[str, Case] = report_bounds.CASES | object_bounds.CASES | review_bounds.CASES


def test_bounds_have_a_case_for_each_row_and_no_other(tenants: Figures) -> None:
    found = [row for row, heading in rows().items() if heading not in OF_AGENTS]
    without = rows().keys() - CASES.keys() - AGENT_CASES.keys()
    tenants.take("bounds without a case below and above", len(without), "", exactly=0, peer=f"of {len(rows())}")
    assert len(found) > 25, "the tables are found"
    assert sorted(found) == sorted(CASES)


def test_bounds_have_the_figures_of_the_constants_that_they_name() -> None:
    assert [wrong for _, line in lines() for wrong in wrong_figures(line)] == []


@pytest.mark.parametrize("row", CASES)
async def test_bounds_hold_below_and_above(row: str) -> None:
    result = CASES[row]()
    if inspect.isawaitable(result):
        await result
