"""docs/compatibility.md has the same tables as the code."""

from __future__ import annotations

import re
from pathlib import Path

from manyserve.plan.management import HOST_REASONS, MODEL_REASONS, OUT_OF_SCOPE
from manyserve.plan.rules.ignored import IGNORED

PAGE = (Path(__file__).parents[1] / "docs" / "compatibility.md").read_text()


def test_compatibility_page_has_reasons_in_order_of_checks() -> None:
    asked_first = [OUT_OF_SCOPE]
    host = asked_first + [each for each in HOST_REASONS if each != OUT_OF_SCOPE]
    model = asked_first + [each for each in MODEL_REASONS if each != OUT_OF_SCOPE]
    assert re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE) == [*host, *model]


def test_compatibility_page_names_each_field_without_effect() -> None:
    assert [each.path for each in IGNORED if f"| `{each.path}` | {each.sentence} |" not in PAGE] == []
