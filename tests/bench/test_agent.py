"""The measurements work, and what must be exact is: the short form of `make agent-bench`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.agent.__main__ import swaps
from bench.agent.figures import figure, line, missed

PROJECT = Path(__file__).parents[2]


def test_the_short_form_measures_every_part_and_nothing_is_loaded_twice_or_lost(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "bench.agent", "--short", "--report", str(report)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())
    assert found["machine"]["processors"]
    assert set(found["load"]) == {"before", "after"}
    exact = {name: each for name, each in found["figures"].items() if each.get("goal", "").startswith("=")}
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
def test_a_figure_says_whether_it_met_its_goal(value: float, goal: dict[str, float], met: bool) -> None:
    found = figure(value, "things", **goal)  # type: ignore[arg-type]
    assert found["met"] is met
    assert missed(found) is not met
    assert ("met" if met else "MISSED") in line("it", found)


def test_what_has_no_goal_cannot_miss_it() -> None:
    assert not missed(figure(7, "s", peer="another: 9"))
    assert "(another: 9)" in line("it", figure(7, "s", peer="another: 9"))
    assert not missed("words")


def test_the_swaps_of_the_walkthrough_are_read_from_its_report(tmp_path: Path) -> None:
    report = tmp_path / "walkthrough.json"
    assert swaps(report) == {}
    report.write_text(json.dumps({"figures": [{"name": "swap_lost", "value": 0}, {"name": "else", "value": 1}]}))
    assert swaps(report) == {"swap_lost": {"name": "swap_lost", "value": 0}}
