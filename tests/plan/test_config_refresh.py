"""Config refresh: the pods to patch and the delays, with any annotation and after clock jumps."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from manyserve.api import names
from manyserve.plan.config_refresh import config_refreshes
from manyserve.plan.pods import Replica
from tests.support import make

WANTED = "0123456789abcdef"
DAY = timedelta(days=1)


def touched(note: str) -> Replica:
    report = make.report(config="another")
    annotations = {names.CONFIG_HASH: note}
    return Replica("pod-1", "uid-1", ready=True, running=True, annotations=annotations, report=report)


def note(count: int, at: datetime = make.NOW) -> str:
    return f"{WANTED}.{count}.{at.timestamp():.3f}"


def test_config_refresh_delay_doubles_up_to_a_minute() -> None:
    waits = [config_refreshes([touched(note(count))], WANTED, make.NOW)[1] for count in (1, 2, 3, 7, 99)]
    assert waits == [1.0, 2.0, 4.0, 60.0, 60.0]


def test_config_refresh_of_another_content_is_due_at_once() -> None:
    assert len(config_refreshes([touched(f"other.5.{make.NOW.timestamp()}")], WANTED, make.NOW)[0]) == 1


def test_input_27_config_refresh_patches_once_after_clock_set_back() -> None:
    later = make.NOW - DAY
    due, wait = config_refreshes([touched(note(3))], WANTED, later)
    assert [each.config_hash for each in due] == [note(4, later)]
    assert wait == 8.0
    assert config_refreshes([touched(due[0].config_hash)], WANTED, later) == ((), 8.0)


def test_input_27_config_refresh_patches_once_after_clock_set_forward() -> None:
    later = make.NOW + DAY
    due, _ = config_refreshes([touched(note(3))], WANTED, later)
    assert [each.config_hash for each in due] == [note(4, later)]
    assert config_refreshes([touched(due[0].config_hash)], WANTED, later)[0] == ()


@pytest.mark.parametrize("odd", ["nan", "inf", "-1", "1e300", "", "9" * 5000, "\u0663"])
def test_config_refresh_ignores_malformed_annotation(odd: str) -> None:
    for text in (f"{WANTED}.1.{odd}", f"{WANTED}.{odd}.{make.NOW.timestamp()}"):
        due, wait = config_refreshes([touched(text)], WANTED, make.NOW)
        assert [each.config_hash for each in due] == [note(1)]
        assert wait == 1.0
