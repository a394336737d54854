"""Writes `docs/benchmarks.md` from the reports of the last runs: `python -m bench.document`, after `make bench`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.support.figures import REPORTS

from bench.agent.figures import Figure, missed

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
COLUMNS = {
    "time": ("time", "ready, from the program's start"),
    "beside the floor": ("time beside the floor",),
    "in models.json": ("all of it in models.json, from the first request",),
    "writes a model": ("writes to models, for each", "writes to models"),
    "other writes": ("other writes",),
    "models.json written": ("models.json written",),
    "in all": ("models.json written, in all",),
    "etcd a model": ("put into etcd a model, the user's writes too",),
    "operator's CPU a model": ("operator's processor time a model",),
    "API server's and etcd's": ("API server's and etcd's processor time a model",),
    "runs": ("runs",),
    "memory": ("resident memory, at most",),
    "loop late": ("event loop late, at most",),
    "loop blocked": ("event loop blocked, at most",),
    "429": ("requests answered with 429",),
    "load": (),
}
Sizes = dict[str, dict[str, dict[str, Figure]]]
TOP = """# Benchmarks

GENERATED from the figures of `make bench`. Do not edit.

The API server, etcd, their controllers and scheduler are real, and so are the operator and the webhook, each a process
of its own; kwok says that the pods run, and stand-ins answer for their agents, which have loaded at once whatever
`models.json` they were nudged to read. All of it shares one machine, so times are to be compared within a run.

The floor of a scenario is the same user beside a bare loop (`bench/control/floor.py`) that watches models and writes
one status to each change, as many at a time as the operator; for deletions, the same without anybody. A time counts
from the user's first request until every model is as asked. What the operator writes after that counts, too. 1,000
URIs are changed three times, and the middle one counts: that has no floor, and the machine is slow now and then.

The event loop is late when it does not turn in time, whatever keeps it; it is blocked for as much of that as the
operator's own threads have worked meanwhile, at most. Both are told as the upper end of the bucket of a histogram.
"""


def main() -> None:
    """Write the document."""
    control = json.loads((REPORTS / "bench.json").read_text())
    hook = json.loads((REPORTS / "webhook-bench.json").read_text())
    lines = [TOP, f"{control['date']}, {control['machine']}, Kubernetes {control['kubernetes']}.", ""]
    sizes = _by_size(control["figures"])
    lines += [*_sizes(sizes), *_side_by_side(sizes)]
    lines += ["## The webhook", "", f"With {hook['models']} models cached, {hook['date']}.", ""]
    lines += ["| figure | value | goal | beside |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {_text(each)} | {each.get('goal', '')} | {each.get('peer', '')} |" for name, each in _of(hook)
    ]
    every = [*_of(control), *_of(hook)]
    late = [f"* {name}: {_text(each)} (goal {each['goal']})" for name, each in every if missed(each)]
    lines += ["", "## Goals that were missed", "", *(late or ["None."])]
    DOCUMENT.write_text("\n".join(lines) + "\n")


def _of(report: dict[str, Any]) -> list[tuple[str, Figure]]:
    return list(report["figures"].items())


def _by_size(figures: dict[str, Figure]) -> Sizes:
    """Return the figures by size, scenario and name."""
    sizes: Sizes = defaultdict(lambda: defaultdict(dict))
    for name, each in figures.items():
        size, _, rest = name.partition(", ")
        scenario, _, metric = rest.partition(": ")
        sizes[size][scenario][metric] = each
    return sizes


def _sizes(sizes: Sizes) -> list[str]:
    lines = []
    for size, scenarios in sizes.items():
        lines += [f"## {size}", "", f"| scenario | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
        lines += [f"| {scenario} | {' | '.join(_cells(found))} |" for scenario, found in scenarios.items()]
        lines += [""]
    return lines


def _side_by_side(sizes: Sizes) -> list[str]:
    """Return what a model takes in each size, beside each other: what grows faster than the models shows here."""
    lines = ["## A model's share, by size", "", "Milliseconds of time, and of the operator's processor time.", ""]
    lines += [f"| scenario | {' | '.join(sizes)} |", "| --- " * (len(sizes) + 1) + "|"]
    first = next(iter(sizes.values()))
    for scenario in (each for each in first if each != "change 1000 URIs"):  # which are as many in each size
        shares = [_share(size, scenarios[scenario]) for size, scenarios in sizes.items() if scenario in scenarios]
        lines += [f"| {scenario} | {' | '.join(shares)} |"]
    return [*lines, ""]


def _share(size: str, found: dict[str, Figure]) -> str:
    seconds = next(found[name]["value"] for name in COLUMNS["time"] if name in found)
    cpu = found["operator's processor time a model"]["value"]
    models = int(size.partition(" ")[0])
    return f"{seconds / models * 1000:.2f} and {cpu:.2f}"


def _cells(found: dict[str, Figure]) -> list[str]:
    cells = [next((_cell(found[name]) for name in names if name in found), "") for names in COLUMNS.values()]
    return [*cells[:-1], f"{max(each['load'] for each in found.values()):g}"]


def _cell(each: Figure) -> str:
    return f"{_text(each)} ({each['peer']})" if each.get("peer") else _text(each)


def _text(each: Figure) -> str:
    return f"{each['value']:g} {each['unit']}".strip()


if __name__ == "__main__":
    main()
