"""Run the measurements, print each figure beside its goal, and write them to `reports/agent-bench.json`.

`python -m bench.agent [--short] [PART ...]`. A missed goal is printed, and changes nothing else. The walkthrough
measures the figures that need a cluster; they are read from its report, if there is one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from bench.agent.figures import line, missed

REPORTS = Path(__file__).parents[2] / "reports"
PARTS: dict[str, dict[str, Any]] = {
    "models": {"sizes": (50, 100), "changes": 10},
    "idle": {"count": 100, "seconds": 3.0},
    "kills": {"every": 25},
    "downloads": {},
}
"""The parts, and their arguments in the short form."""
LONG_ONLY = {"downloads"}


def main() -> None:
    """Measure the parts of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="all, if none is named")
    parser.add_argument("--short", action="store_true", help="small and quick: to see that it works")
    parser.add_argument("--report", type=Path, default=REPORTS / "agent-bench.json")
    options = parser.parse_args()
    parts = options.part or [part for part in PARTS if not (options.short and part in LONG_ONLY)]
    before = os.getloadavg()[0]
    figures: dict[str, object] = {}
    for part in parts:
        figures |= _measured(part, short=options.short)
    figures |= swaps(REPORTS / "walkthrough.json")
    _write(options.report, figures, before)
    late = sum(map(missed, figures.values()))
    print(f"{late} of {len(figures)} figures missed their goal" if late else "every goal is met")


def _measured(part: str, *, short: bool) -> dict[str, object]:
    """Measure one part, and print its figures."""
    print(f"==> {part}", flush=True)
    module = importlib.import_module(f"bench.agent.{part}")
    figures: dict[str, object] = module.measure(**(PARTS[part] if short else {}))
    for name, each in figures.items():
        print(line(name, each), flush=True)
    return figures


def swaps(report: Path) -> dict[str, object]:
    """Return the figures of the real server that the walkthrough left."""
    try:
        figures = json.loads(report.read_text())["figures"]
        return {each["name"]: each for each in figures if each["name"].startswith(("swap", "models a second"))}
    except FileNotFoundError:
        return {}


def _write(path: Path, found: dict[str, object], before: float) -> None:
    machine = {"processors": os.cpu_count(), "system": platform.platform(), "python": sys.version.split()[0]}
    load = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "load": load, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
