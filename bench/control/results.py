"""The figures of one size, with their goals and names."""

from __future__ import annotations

from collections import Counter

from bench.agent.figures import Figure, figure
from bench.control.scenarios import Measured

LATE = 100.0
RATIO = 1.3
REQUESTS = 2.0
MEMORY = 250.0
STARTUP = 10.0
WRITES = 3.0
ETCD = 10.0
SERIES = 3000
"""Series of the operator's metrics at most, in each scenario."""
KIB = 1024


def figures_of(found: dict[str, Measured], models: int, hosts: int) -> dict[str, Figure]:
    """Return the figures of all scenarios for so many models on so many hosts."""
    rows: dict[str, Figure] = {}
    for scenario, measured in found.items():
        size = f"{models} models on {hosts} host{'s' if hosts > 1 else ''}, {scenario}"
        rows |= {f"{size}: {name}": each for name, each in _scenario(scenario, measured, models).items()}
    return rows


def _scenario(scenario: str, measured: Measured, models: int) -> dict[str, Figure]:
    rows = {**_times(scenario, measured), **_counts(scenario, measured, models)}
    memory = MEMORY if models == 10_000 else None
    return rows | {
        "resident memory, at most": figure(measured.memory, "MB", below=memory),
        "event loop late, at most": figure(_most(measured.counts.late), "ms"),
        "event loop blocked, at most": figure(_most(measured.counts.blocked), "ms", below=LATE + 1),
        "series of the operator's metrics": figure(measured.counts.series, "", below=SERIES + 1),
        "requests answered with 429": figure(measured.counts.refused, "", exactly=0),
    }


def _times(scenario: str, measured: Measured) -> dict[str, Figure]:
    if scenario == "restart":
        return {"ready, from the program's start": figure(measured.seconds, "s", below=STARTUP)}
    rows = {"time": figure(measured.seconds, "s")}
    if measured.floor is not None:
        peer = f"the floor took {measured.floor:.2f} s"
        goal = RATIO if scenario == "apply" else None
        rows["time beside the floor"] = figure(measured.seconds / measured.floor, "times", below=goal, peer=peer)
    if measured.in_config is not None:
        rows["all of it in models.json, from the first request"] = figure(
            measured.in_config, "s", peer=_beside(measured)
        )
    if measured.in_config is not None and measured.alone is not None:
        goal = REQUESTS if scenario.startswith("change 1000 ") else None
        rows["all of it in models.json, beside the requests alone"] = figure(
            measured.in_config / measured.alone, "times", below=goal
        )
    return rows


def _beside(measured: Measured) -> str:
    tries = f"of {', '.join(f'{each:.2f}' for each in measured.tries)} s" if measured.tries else ""
    alone = "" if measured.alone is None else f"the requests alone took {measured.alone:.2f} s"
    return "; ".join(filter(None, (tries, alone)))


def _counts(scenario: str, measured: Measured, models: int) -> dict[str, Figure]:
    counts, bare = measured.counts, scenario == "restart"
    ours = counts.writes["TrainedModel patch"] + counts.writes["TrainedModel status"]
    rows = {
        "writes to models": figure(ours, "", exactly=0 if bare else None),
        "other writes": figure(counts.writes.total() - ours, "", exactly=0 if bare else None),
        "runs": figure(counts.runs, ""),
        "operator's processor time a model": figure(counts.cpu / models * 1000, "ms"),
    }
    if bare:
        return rows
    gaps = len(counts.configs) / (counts.at + 1)
    return rows | {
        "writes to models, for each": figure(ours / models, "", below=WRITES + 0.01 if scenario == "apply" else None),
        "models.json written": figure(len(counts.configs), ""),
        "models.json written a second, all hosts": figure(gaps, ""),
        "models.json written, in all": figure(sum(counts.configs) / KIB, "KiB"),
        "put into etcd a model, the user's writes too": figure(
            counts.etcd / models / KIB, "KiB", below=ETCD if scenario == "apply" else None
        ),
        "API server's and etcd's processor time a model": figure(counts.server_cpu / models * 1000, "ms"),
    }


def _most(late: Counter[float]) -> float:
    """Return the upper bound, in milliseconds, of the longest delay."""
    return max((bound for bound, count in late.items() if count), default=0.0) * 1000
