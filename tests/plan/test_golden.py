"""Golden plans: the plan of each scenario in tests/data/plan equals its output file."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from tests.plan import golden
from tests.plan.scenario import DATA

HINT = "If the new plan is right, run `make golden` and review the diff of tests/data/plan."
REQUIRED = (
    *(
        "empty-host",
        "first-model",
        "full-host",
        "grown-model",
        "swap",
        "deletion",
        "broken-config",
        "broken-models-json",
    ),
    *("scaled", "foreign-child", "host-deleted", "predictor-model", "many-at-once"),
    *("shards-two-models", "copies-one-loading", "copies-one-failing", "copies-scaled-down", "shard-drained"),
)


def scenario_name(path: Path) -> str:
    return path.name.removesuffix(golden.INPUT)


@pytest.mark.parametrize("path", golden.inputs(), ids=scenario_name)
def test_plan_of_scenario_equals_its_golden_file(path: Path) -> None:
    output, planned = golden.output_of(path), golden.render(path)
    expected = output.read_text() if output.exists() else ""
    if planned != expected:
        names = (f"{output.name} (expected)", f"{output.name} (planned)")
        diff = difflib.unified_diff(expected.splitlines(), planned.splitlines(), *names, lineterm="")
        pytest.fail("\n".join([f"the plan of {path.name} differs:", *diff, HINT]), pytrace=False)


def test_required_scenarios_exist_and_each_golden_file_has_its_input() -> None:
    scenarios = set(map(scenario_name, golden.inputs()))
    assert set(REQUIRED) <= scenarios
    assert {path.name.removesuffix(golden.OUTPUT) for path in DATA.glob(f"*{golden.OUTPUT}")} == scenarios


@pytest.mark.parametrize("path", golden.inputs(), ids=scenario_name)
def test_scenario_begins_with_two_or_three_sentences_of_explanation(path: Path) -> None:
    lines = path.read_text().splitlines()
    comment = " ".join(
        line.removeprefix("# ") for line in lines[: next(i for i, x in enumerate(lines) if x[:1] != "#")]
    )
    assert 2 <= comment.count(". ") + comment.endswith(".") <= 4, comment
