"""Input 27: all waits are counted on a monotonic clock; the time of day is only for dates."""

from __future__ import annotations

import inspect
import re
import time
from pathlib import Path

import manyserve
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.status_writer import StatusWriter
from manyserve.operator.autoscaler import Autoscaler
from manyserve.operator.debounce import Debouncer
from manyserve.operator.workqueue import WorkQueue

SOURCES = Path(manyserve.__file__).parent
DATES = {
    "cluster/events.py",
    "cluster/model_counts.py",
    "cluster/status_writer.py",
    "operator/leader_election.py",
    "operator/reconcile.py",
    "webhook/main.py",
}
"""Readers of the time of day: for dates in objects, certificates and annotations, and ages of statuses and specs."""


def test_input_27_backoff_and_event_limits_use_a_monotonic_clock() -> None:
    for kind in (WorkQueue, Debouncer, StatusWriter, EventRecorder, Autoscaler):
        assert inspect.signature(kind).parameters["clock"].default is time.monotonic


def test_input_27_time_of_day_is_read_in_one_module_and_imported_by_few() -> None:
    packages = ("operator", "cluster", "webhook", "plan", "api")
    modules = [path for package in packages for path in (SOURCES / package).glob("*.py")]
    readers = [path for path in modules if "datetime.now(" in path.read_text()]
    assert readers == [SOURCES / "cluster" / "clock.py"]
    importers = {path for path in modules if re.search(r"import .*\butc_now\b", path.read_text())}
    assert {str(path.relative_to(SOURCES)) for path in importers} == DATES
    assert [path for path in modules if "time.time(" in path.read_text()] == []
