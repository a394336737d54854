"""The real program, killed at every step: `kill -9` before the nth step on the volume, then a new start.

One cycle adds models, loads them, changes one, swaps it in, and removes another. For n = 0, 1, 2 … an agent dies
before its nth step, another takes over, and the cycle goes on to its end, until a cycle ends without a kill. Each
time the end must be right: the models of the server, the files on the volume, the report.
"""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.support.eventually import NotInTime, eventually_sync

from bench.agent.figures import figure
from bench.agent.pod import PAUSE, Stage, entry, stage
from bench.agent.standins import WEIGHTS
from manyserve.api.modelconfig import Entry

_LIMIT = 60.0
_QUICK = {
    "MANYSERVE_CONFIG_POLL_SECONDS": "0.02",
    "MANYSERVE_INDEX_POLL_SECONDS": "0.1",
    "MANYSERVE_PARALLEL_DOWNLOADS": "1",
    "MANYSERVE_PARALLEL_LOADS": "1",
}
CYCLE: tuple[tuple[Entry, ...], ...] = (
    (entry("a"), entry("b")),
    (entry("a", 1), entry("b"), entry("c")),
    (entry("a", 1), entry("c")),
)
"""The configs of one cycle: add and load, change and swap and add one more, remove."""


def measure(every: int = 1) -> dict[str, object]:
    """Kill before every nth step; with `every` above 1, only before some."""
    wrong: list[str] = []
    with stage() as base:
        for tried in itertools.count():
            place = base.begin(base.root / str(tried))
            try:
                killed, faults = _cycle(place, tried * every)
            finally:
                place.end()
            wrong += [f"killed before step {tried * every}: {each}" for each in faults]
            if not killed:
                return {
                    "kill -9 before the nth step of a cycle: n tried": figure(tried, "kills", least=1),
                    "kill -9 before the nth step of a cycle: wrong ends": figure(len(wrong), "ends", exactly=0),
                } | ({"kill -9: what was wrong": wrong} if wrong else {})
    raise AssertionError


def _cycle(place: Stage, steps: int) -> tuple[bool, list[str]]:
    """Run one cycle; return whether the first agent was killed on its way, and the differences at the end."""
    place.write(CYCLE[0])
    agent = first = place.start(sys.executable, "-m", "bench.agent.mortal", str(steps), **_QUICK)
    faults: list[str] = []
    for config in CYCLE:
        place.write(config)
        agent = _come_true(place, config, agent)
        faults += _faults(place, config)
    return agent is not first, faults


def _come_true(place: Stage, config: tuple[Entry, ...], agent: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Wait until the config is true; start a new agent when the one before is gone, and return the last."""

    def there() -> bool:
        nonlocal agent
        if agent.poll() is not None:
            if agent.returncode != -signal.SIGKILL:
                raise RuntimeError(f"the agent ended with {agent.returncode}")
            agent = place.start(**_QUICK)
        return place.loaded() == len(config) and not _faults(place, config)

    with suppress(NotInTime):
        eventually_sync(there, "the config is true", _LIMIT, PAUSE)
    return agent


def _faults(place: Stage, config: tuple[Entry, ...]) -> list[str]:
    """Return how the server and the volume differ from a config."""
    wanted = {each.model_name: f"{_prefix(each)}/{WEIGHTS}" for each in config}
    volume = place.root / "volume"
    parts: dict[str, tuple[object, object]] = {
        "the server has": (place.served(), wanted),
        "the volume has": (dict(_weights(volume / "models")), wanted),
        "staging has": (_names(volume / "staging"), []),
        "kept is": (_names(volume / "kept"), []),
    }
    return [f"{what} {found}, not {right}" for what, (found, right) in parts.items() if found != right]


def _prefix(each: Entry) -> str:
    return each.model_spec.storage_uri.removeprefix("gs://bucket/")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def _weights(models: Path) -> Iterator[tuple[str, str]]:
    """Yield the weights of each model on the volume."""
    for name in _names(models):
        with suppress(OSError):
            yield name, (models / name / WEIGHTS).read_text()
