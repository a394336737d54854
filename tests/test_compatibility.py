"""docs/compatibility.md has the tables that the code has."""

from __future__ import annotations

import re
from pathlib import Path

from manyserve.api.unsupported import UNSUPPORTED
from manyserve.plan.management import HOST_REASONS, MODEL_REASONS, OUT_OF_SCOPE
from manyserve.plan.rules.ignored import IGNORED

PAGE = (Path(__file__).parents[1] / "docs" / "compatibility.md").read_text()


def test_the_reasons_stand_in_the_order_in_which_they_are_asked() -> None:
    asked_first = [OUT_OF_SCOPE]
    host = asked_first + [each for each in HOST_REASONS if each != OUT_OF_SCOPE]
    model = asked_first + [each for each in MODEL_REASONS if each != OUT_OF_SCOPE]
    assert re.findall(r"^\| `([A-Z]\w+)` \|", PAGE, re.MULTILINE) == [*host, *model]


def test_every_field_that_is_not_supported_is_named_where_it_stands() -> None:
    rows = dict(re.findall(r"^\| (`spec`|`spec.predictor`|the server or container) \| (.*) \|$", PAGE, re.MULTILINE))
    levels = {"`spec`": "spec", "`spec.predictor`": "predictor", "the server or container": "server"}
    for title, level in levels.items():
        assert re.findall(r"`(\w+)`", rows[title]) == [each.name for each in UNSUPPORTED if each.level == level]


def test_every_field_without_effect_is_named_with_its_reason() -> None:
    assert [each.path for each in IGNORED if f"| `{each.path}` | {each.sentence} |" not in PAGE] == []
