"""The agent bench: its short form runs, and exact figures are exact."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.agent.__main__ import swaps
from bench.agent.figures import figure, line, missed

PROJECT = Path(__file__).parents[2]


def test_agent_bench_short_form_measures_each_part_with_exact_counts(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "bench.agent", "--short", "--report", str(report)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(report.read_text())
    assert result["machine"]["processors"]
    assert set(result["load"]) == {"before", "after"}
    exact = {name: each for name, each in result["figures"].items() if each.get("goal", "").startswith("=")}
    assert len(exact) >= 5
    assert not [name for name, each in exact.items() if not each["met"]], done.stdout
    assert "==> kills" in done.stdout


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (0.9, {"below": 1}, True),
        (1.0, {"below": 1}, False),
        (2.0, {"least": 2}, True),
        (100, {"exactly": 100}, True),
        (101, {"exactly": 100}, False),
    ],
)
def test_figure_compares_value_with_goal(value: float, goal: dict[str, float], met: bool) -> None:
    result = figure(value, "things", **goal)  # type: ignore[arg-type]
    assert result["met"] is met
    assert missed(result) is not met
    assert ("met" if met else "MISSED") in line("it", result)


def test_figure_without_goal_is_not_missed() -> None:
    assert not missed(figure(7, "s", peer="another: 9"))
    assert "(another: 9)" in line("it", figure(7, "s", peer="another: 9"))
    assert not missed("words")


def test_agent_bench_reads_swaps_from_walkthrough_report(tmp_path: Path) -> None:
    report = tmp_path / "walkthrough.json"
    assert swaps(report) == {}
    report.write_text(json.dumps({"figures": [{"name": "swap_lost", "value": 0}, {"name": "else", "value": 1}]}))
    assert swaps(report) == {"swap_lost": {"name": "swap_lost", "value": 0}}
