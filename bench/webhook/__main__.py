"""Ask the webhook, and create through the API server with it and without; into `reports/webhook-bench.json`.

`python -m bench.webhook [--models N] [--seconds S] [--rounds R]`. The API server and the webhook are real; the load
comes from a program of its own. A missed goal is printed, and changes nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.support.control_plane import control_plane

from bench.agent.figures import line, missed
from bench.webhook.measure import measure

REPORT = Path(__file__).parents[2] / "reports" / "webhook-bench.json"


def main() -> None:
    """Run the measurement of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round")
    parser.add_argument("--rounds", type=int, default=4, help="of each target")
    parser.add_argument("--report", type=Path, default=REPORT)
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with control_plane() as server:
        figures = asyncio.run(measure(server, options.models, seconds=options.seconds, rounds=options.rounds))
    for name, each in figures.items():
        print(line(name, each))
    machine = {"processors": os.cpu_count(), "system": platform.platform(), "python": sys.version.split()[0]}
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "load": {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)},
        **{name: getattr(options, name) for name in ("models", "seconds", "rounds")},
        "figures": figures,
    }
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=1) + "\n")
    late = sum(map(missed, figures.values()))
    print(f"{late} of {len(figures)} figures missed their goal" if late else "every goal is met")


if __name__ == "__main__":
    main()
