"""Measure the control plane for each size, and print what it took; into `reports/bench.json`.

`python -m bench.control [--short | --models N --hosts N]`. Without options all sizes are measured, which takes
half an hour; one size takes its place in the report, if that is of this machine and day. With `--short` it ends
with 1 when a count misses its goal: counts do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime

import uvloop
from tests.support.figures import REPORTS

from bench.agent.figures import Figure, line, missed
from bench.control.results import figures_of
from bench.control.scenarios import measure
from localcluster import tools
from localcluster.tools import KUBERNETES

SIZES = ((1_000, 1), (5_000, 1), (10_000, 1), (10_000, 100))
SHORT = ((400, 1),)
REPORT = REPORTS / "bench.json"
COUNTED = ("writes", "429", "etcd")


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    tools.ensure("kubernetes", "kwok")
    sizes = SHORT if options.short else ((options.models, options.hosts),) if options.models else SIZES
    figures: dict[str, Figure] = {}
    others = earlier() if options.models else {}
    for models, hosts in sizes:
        began = time.monotonic()
        figures |= figures_of(uvloop.run(measure(models, hosts)), models, hosts)
        print(f"==> {models} models on {hosts} host(s) took {time.monotonic() - began:.0f} s to measure", flush=True)
        write(others | figures)
    for name, each in figures.items():
        print(line(name, each))
    wrong = [name for name, each in figures.items() if missed(each) and any(word in name for word in COUNTED)]
    sys.exit(f"missed: {'; '.join(wrong)}" if options.short and wrong else 0)


def earlier() -> dict[str, Figure]:
    """Return what the report has from this machine and day."""
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    figures: dict[str, Figure] = report.get("figures", {})
    return figures if about().items() <= report.items() else {}


def about() -> dict[str, str]:
    """Return when and where something is measured."""
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine, "kubernetes": KUBERNETES}


def write(found: dict[str, Figure]) -> None:
    """Write what was measured so far, with the machine that it was measured on."""
    REPORTS.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(about() | {"figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
