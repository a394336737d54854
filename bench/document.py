"""Writes `docs/benchmarks.md` from the reports of the last runs: `python -m bench.document`, after `make bench`."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml
from tests.support.english.text import OFF
from tests.support.figures import REPORTS

from bench.agent.figures import Figure, missed

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
VALUES = ROOT / "deploy" / "chart" / "values.yaml"
COLUMNS = {
    "time": ("time", "ready, from the program's start"),
    "beside the floor": ("time beside the floor",),
    "in models.json": ("all of it in models.json, from the first request",),
    "beside the requests": ("all of it in models.json, beside the requests alone",),
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

A *host* is an InferenceService that runs a model server for many TrainedModels.
"""
METHOD = """## Method

The API server, etcd, their controllers and scheduler are real. The operator and the webhook are real, too, each a
process of its own. kwok plays the pods. Stand-ins answer for their agents: they have loaded every model as soon as
they have read `models.json`. All programs share one machine, so compare times within a run only.

The floor of a scenario is the same user beside a bare loop (`bench/control/floor.py`). The loop watches models and
writes one status to each change, as many at a time as the operator. The floor of a deletion is the same user alone. A
time counts from the user's first request until every model is as desired. Later writes of the operator count, too.
1,000 URIs are changed three times, and the median counts: the machine is sometimes slow. Until all are in
`models.json` it may take less than twice as long as the same requests take alone, which is the median of three, too.

The event loop is late when it does not turn in time, for any reason. It is blocked for at most the part of that time
in which the operator's own threads have worked. Both figures are the upper end of a bucket of a histogram.
"""
MEMORY = "resident memory, at most"
SIZING = {
    "time to Ready": "time",
    "operator memory": MEMORY,
    "operator CPU a model": "operator's processor time a model",
    "etcd a model": "put into etcd a model, the user's writes too",
}


def main() -> None:
    """Write the document."""
    control = json.loads((REPORTS / "bench.json").read_text())
    hook = json.loads((REPORTS / "webhook-bench.json").read_text())
    sizes = _by_size(control["figures"])
    lines = [TOP, *_sizing(sizes), METHOD]
    lines += [f"{control['date']}, {control['machine']}, Kubernetes {control['kubernetes']}.", "", OFF, ""]
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


def _sizing(sizes: Sizes) -> list[str]:
    """Return the table of all sizes for the scenario `apply`, and the most memory beside the chart's limit."""
    lines = ["## Sizing", "", f"| models | {' | '.join(SIZING)} |", "| --- " * (len(SIZING) + 1) + "|"]
    for size, scenarios in sizes.items():
        cells = [f"{each['value']:.3g} {each['unit']}" for each in map(scenarios["apply"].get, SIZING.values()) if each]
        lines += [f"| {size.replace(' models', '')} | {' | '.join(cells)} |"]
    every = [found for scenarios in sizes.values() for found in scenarios.values()]
    most = max((found[MEMORY] for found in every if MEMORY in found), key=lambda each: float(each["value"]))
    limit = yaml.safe_load(VALUES.read_text())["operator"]["resources"]["limits"]["memory"]
    ends = (
        f"The operator took at most {most['value']:.3g} {most['unit']} in all scenarios; the chart's limit is {limit}."
    )
    return [*lines, "", ends, ""]


def _sizes(sizes: Sizes) -> list[str]:
    lines = []
    for size, scenarios in sizes.items():
        lines += [f"## {size}", "", f"| scenario | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
        lines += [f"| {scenario} | {' | '.join(_cells(found))} |" for scenario, found in scenarios.items()]
        lines += [""]
    return lines


def _side_by_side(sizes: Sizes) -> list[str]:
    """Return the cost of one model in each size, side by side: a cost that grows faster than the models shows here."""
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
