"""Rows 1 to 11: faults of the connection to the API server, of the operator and of its peers, one at a time.

Each test records the seconds from the end of the fault until everything is right again.
"""

from __future__ import annotations

import itertools
import re
import time

import pytest

from manyserve.cluster.limiter import BACKOFF
from tests.faults import faults
from tests.faults.env import LONG, FaultEnv
from tests.faults.exchange import Line
from tests.support.figures import Figures

HEARD = 100 if LONG else 30
AGAIN = "seconds until all is right again"


async def test_fault_02_operator_creates_nothing_twice_after_lost_answer(env: FaultEnv, figures: Figures) -> None:
    figures.take(f"2 lost answers: {AGAIN}", await env.survives(faults.answers_lost(env)), "s")
    lost = [each for each in env.proxy.history if each.fault]
    figures.take("2 lost answers: how many", len(lost), "")


async def test_fault_03_operator_backs_off_in_storm_of_conflicts(env: FaultEnv, figures: Figures) -> None:
    figures.take(f"3 conflict storm: {AGAIN}", await env.survives(faults.conflict_storm(env)), "s")
    conflicts = [each for each in env.proxy.writes() if each.status == 409]
    figures.take("3 conflict storm: writes that were refused", len(conflicts), "", below=12)
    pauses = [later.at - each.at - each.seconds for each, later in itertools.pairwise(conflicts)]
    assert len(pauses) >= 2, "nothing was refused twice: this was no storm"
    shortest = [0.7 * BACKOFF.base * 2**n for n in range(3)]
    assert all(pause >= least for pause, least in zip(pauses, shortest, strict=False)), pauses
    assert len(conflicts) < 12


async def test_fault_04_operator_obeys_retry_after(env: FaultEnv, figures: Figures) -> None:
    figures.take(f"4 throttled: {AGAIN}", await env.survives(faults.throttled(env)), "s")
    refused = [each for each in env.proxy.history if each.status == 429 and each.verb != "create"]
    assert refused
    assert [each for each in refused if _came_back(each, env.proxy.history) < faults.RETRY_AFTER - 0.1] == []


def _came_back(refused: Line, history: list[Line]) -> float:
    """Return the seconds from a response until the same request is repeated. A watch is repeated at another version."""
    end = refused.at + refused.seconds
    later = (each for each in history if each.at >= end and each.verb == refused.verb)
    return next((each.at - end for each in later if _what(each) == _what(refused)), float("inf"))


def _what(line: Line) -> str:
    return re.sub(r"(resourceVersion|timeoutSeconds)=\d+", "", line.path)


@pytest.mark.parametrize("outage", [60, 300] if LONG else [6], ids="{} s".format)
async def test_fault_05_informers_retry_failing_lists_and_watches(
    env: FaultEnv, figures: Figures, outage: float
) -> None:
    seconds = await env.survives(faults.failing_reads(env, outage))
    figures.take(f"5 lists and watches fail for {outage:g} s: {AGAIN}", seconds, "s")
    assert env.operator.starts == 1, "an API server that fails is no reason to be restarted"


async def test_fault_06_informers_close_silent_watches(env: FaultEnv, figures: Figures) -> None:
    await env.furnish()
    began = time.monotonic()
    async with faults.silent(env):
        await env.change()
        await env.right()
        figures.take("6 silent watches: seconds until a change is seen", time.monotonic() - began, "s", below=HEARD)
    await env.judge()
    assert env.operator.starts == 1


async def test_fault_07_model_deleted_while_watch_is_cut_is_gone(env: FaultEnv, figures: Figures) -> None:
    figures.take(f"7 410 with a deletion in the gap: {AGAIN}", await env.survives(faults.gone(env)), "s")
    assert any(each.status == 410 for each in env.proxy.history), "it was told that it is too old"


async def test_fault_08_informers_survive_malformed_streams(env: FaultEnv, figures: Figures) -> None:
    seconds = await env.survives(faults.bad_streams(env))
    figures.take(f"8 ERROR, unknown event, 2 MiB line, cut line: {AGAIN}", seconds, "s")
    assert env.operator.starts == 1


async def test_fault_09_old_list_after_restart_does_no_harm(env: FaultEnv, figures: Figures) -> None:
    figures.take(f"9 an old list after a restart: {AGAIN}", await env.survives(faults.stale_list(env)), "s")
    assert any(each.fault for each in env.proxy.history), "there was an old list"


async def test_fault_09_old_list_without_newer_events_unplaces_no_model(env: FaultEnv, figures: Figures) -> None:
    seconds = await env.survives(faults.gone(env), faults.stale_list(env))
    figures.take(f"9 an old list, and its watch answered 410: {AGAIN}", seconds, "s")
    assert {"an old list", "410"} <= {each.fault for each in env.proxy.history}


async def test_fault_10_operator_recovers_after_kill_of_control_plane(env: FaultEnv, figures: Figures) -> None:
    seconds = await env.survives(faults.control_plane_killed(env))
    figures.take(f"10 etcd and API server killed: {AGAIN}", seconds, "s")


@pytest.mark.parametrize("lag", [0.0, 8.0 if LONG else 2.0], ids=["as fast", "behind"])  # a request has 10 s
async def test_fault_11_two_operators_agree(env: FaultEnv, figures: Figures, lag: float) -> None:
    seconds = await env.survives(faults.two_operators(env, lag))
    figures.take(f"11 two operators, the second {lag:g} s late: {AGAIN}", seconds, "s")
    assert env.proxy.writes("operator")
    assert any(each.client == "second" and each.verb == "watch" for each in env.proxy.history), "it saw it all, too"
