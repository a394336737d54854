"""Input 27: all waits are counted on a monotonic clock; the time of day is only for dates."""

from __future__ import annotations

import inspect
import time
from pathlib import Path

import manyserve
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.status_writer import StatusWriter
from manyserve.operator.debounce import Debouncer
from manyserve.operator.workqueue import WorkQueue

SOURCES = Path(manyserve.__file__).parent
DATES = {
    "cluster/events.py",
    "cluster/status_writer.py",
    "operator/leader_election.py",
    "operator/planner.py",
    "webhook/main.py",
}
"""Who asks for the time on the wall: for times that stand in objects, for certificates, for what pods are told, and for
how old is what is told."""


def test_input_27_backoff_and_floods_are_counted_on_a_monotonic_clock() -> None:
    for kind in (WorkQueue, Debouncer, StatusWriter, EventRecorder):
        assert inspect.signature(kind).parameters["clock"].default is time.monotonic


def test_input_27_the_clock_on_the_wall_is_read_in_one_place_and_asked_for_in_few() -> None:
    rooms = [
        path for room in ("operator", "cluster", "webhook", "plan", "api") for path in (SOURCES / room).glob("*.py")
    ]
    reading = [path for path in rooms if "datetime.now(" in path.read_text()]
    assert reading == [SOURCES / "cluster" / "clock.py"]
    asking = {path for path in rooms if "import utc_now" in path.read_text()}
    assert {str(path.relative_to(SOURCES)) for path in asking} == DATES
    assert [path for path in rooms if "time.time(" in path.read_text()] == []
