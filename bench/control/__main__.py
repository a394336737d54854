"""Measure the control plane for each size, and print what it took; into `reports/bench.json`.

`python -m bench.control [--short | --models N --hosts N]`. Without options all sizes are measured, which takes
half an hour. With `--short` it ends with 1 when a count misses its goal: counts do not depend on the machine.
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
    found: dict[str, Figure] = {}
    for models, hosts in sizes:
        began = time.monotonic()
        found |= figures_of(uvloop.run(measure(models, hosts)), models, hosts)
        print(f"==> {models} models on {hosts} host(s) took {time.monotonic() - began:.0f} s to measure", flush=True)
        write(found)
    for name, each in found.items():
        print(line(name, each))
    wrong = [name for name, each in found.items() if missed(each) and any(word in name for word in COUNTED)]
    sys.exit(f"missed: {'; '.join(wrong)}" if options.short and wrong else 0)


def write(found: dict[str, Figure]) -> None:
    """Write what was measured so far, with the machine that it was measured on."""
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    about = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine, "kubernetes": KUBERNETES}
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "bench.json").write_text(json.dumps(about | {"figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
