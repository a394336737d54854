"""Figures of a run with their goals and peers, written to `reports/`.

Absolute times mean little on shared machines, so every figure has the machine's load at its time. A figure that misses
its goal is printed as missed. The test decides whether it fails.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).parents[2] / "reports"
LONG = os.environ.get("UNMANAGED") == "long"
"""The long form of the report `unmanaged`, as `make unmanaged` has it."""
TENANTS_LONG = os.environ.get("TENANTS") == "long"
"""The long form of the report `tenants`, as `make tenants` has it."""
SHARED = ("unmanaged", "field", "tenants", "chart-test")
"""Reports to which several runs of pytest add: a figure of another run stays until it is measured again."""


@dataclass(frozen=True)
class Figure:
    """One measured value; `met` is None where there is no goal."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    peer: str = ""
    load: float = 0.0


class Figures:
    """The figures of one run, in the order in which they were taken."""

    def __init__(self, report: str) -> None:
        self.path = REPORTS / f"{report}.json"
        self.taken: list[Figure] = []

    def take(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        below: float | None = None,
        exactly: float | None = None,
        peer: str = "",
    ) -> None:
        """Record a figure; `below` or `exactly` is its goal, and `peer` the value of a peer in the same run."""
        goal = f"< {below:g}" if below is not None else f"= {exactly:g}" if exactly is not None else ""
        met = value < below if below is not None else value == exactly if exactly is not None else None
        load = round(os.getloadavg()[0], 2)
        self.taken.append(Figure(name, round(value, 3), unit, goal, met, peer, load))

    def write(self) -> list[str]:
        """Write the report and return its lines for people."""
        if not self.taken:
            return []
        self.path.parent.mkdir(exist_ok=True)
        figures = [
            {key: each for key, each in asdict(figure).items() if each not in ("", None)} for figure in self.taken
        ]
        self.path.write_text(json.dumps({"figures": [*self._of_other_runs(), *figures]}, indent=1) + "\n")
        return [_line(figure) for figure in self.taken]

    def _of_other_runs(self) -> list[dict[str, object]]:
        if self.path.stem not in SHARED or not self.path.exists():
            return []
        names = {each.name for each in self.taken}
        return [each for each in json.loads(self.path.read_text())["figures"] if each["name"] not in names]


class _Reports(dict[str, Figures]):
    def __missing__(self, name: str) -> Figures:
        return self.setdefault(name, Figures(name))


_REPORTS = pytest.StashKey[_Reports]()


def reports(config: pytest.Config) -> dict[str, Figures]:
    """Return the run's figures by report; a new report is created on access."""
    return config.stash.setdefault(_REPORTS, _Reports())


def send_to_controller(config: pytest.Config) -> None:
    """Leave the figures of a worker of pytest-xdist for the run's main process."""
    output = getattr(config, "workeroutput", None)
    if output is not None:
        output["figures"] = {name: [asdict(each) for each in of.taken] for name, of in reports(config).items()}


def receive_from_worker(config: pytest.Config, output: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """Add the figures that a worker left at its end."""
    for name, taken in output.get("figures", {}).items():
        reports(config)[name].taken.extend(Figure(**each) for each in taken)


def _line(figure: Figure) -> str:
    verdict = {None: "", True: "met", False: "MISSED"}[figure.met]
    return (
        f"{figure.name:<58} {figure.value:>9g} {figure.unit:<8} {figure.goal:<10} {verdict:<7}"
        f"{'(' + figure.peer + ') ' if figure.peer else ''}load {figure.load:g}"
    )
