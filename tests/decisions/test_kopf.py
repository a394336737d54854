"""The reasons in docs/decisions/0005 hold for the pinned kopf. A failure here means: revisit that decision."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FEW, MANY = 200, 800
LINEAR = MANY / FEW


def test_kopf_watch_error_ends_the_watcher_and_then_the_operator() -> None:
    (result,) = _run("kopf_silent_watcher")
    assert result["watcher_started"]
    assert result["watcher_ended"]
    assert result["further_requests"] == 0, "kopf lists again after an ERROR event"
    assert result["operator"] == "ended: WatchingError", "kopf does not end with its watcher"


def test_kopf_loses_deletions_across_an_expired_watch() -> None:
    (result,) = _run("kopf_lost_deletions")
    assert result["listed_again"]
    assert not result["deletion_reported"], "kopf compares a new list with the last one"
    assert result["index"] == ["a", "b", "c"], "kopf removes objects from an index that a new list does not have"


def test_kopf_index_start_grows_faster_than_its_objects() -> None:
    few, many = _run("kopf_index", str(FEW), str(MANY))
    assert many["cpu_seconds"] > 1.5 * LINEAR * few["cpu_seconds"], "kopf.index starts in linear time"


def _run(module: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", f"tests.decisions.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
