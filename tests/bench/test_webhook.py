"""The webhook bench: percentiles, sums over rounds, and rows with their goals."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from bench.webhook import reviews
from bench.webhook.measure import direct_rows, ratio_rows, through_rows
from bench.webhook.samples import Round, Summary, WrongAnswer, latencies, percentile, summary

from manyserve.webhook.admission import read
from manyserve.webhook.review import review
from tests.support.make import host_object
from tests.webhook.reviews import cache_of


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.9, 100), (100, 100), (0, 1)])
def test_percentile_is_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_percentile_of_one_sample() -> None:
    assert percentile([7], 50) == percentile([7], 99) == 7


def test_summary_of_rounds_merges_samples() -> None:
    quick, slow = Round(2, [0.001] * 3, 0.004, 0.001), Round(2, [0.1], 0.004, 0.003)
    total = summary([quick, slow])
    assert (total.p50, total.p99) == (1, 100)
    assert total.cpu == pytest.approx(2)
    assert total.own_cpu == pytest.approx(1)
    assert (total.rate, total.count) == (1, 4)


def test_summary_without_answer_raises() -> None:
    with pytest.raises(ValueError, match="no request was answered"):
        summary([Round(2, [], 0, 0)])


def line_of(began: float, seconds: float, code: int = 200, body: str = '{"allowed": true}') -> str:
    encoded = base64.b64encode(body.encode()).decode()
    return f"{int(began * 1e9)},{code},{int(seconds * 1e9)},1,1,,{encoded},,0,POST,https://localhost/validate,"


def test_latencies_count_requests_inside_window_only() -> None:
    lines = [line_of(began, 0.5) for began in (9.75, 10.0, 11.25, 11.75)]
    assert latencies(lines, (10, 12), 200, b'"allowed": true') == [0.5, 0.5]


@pytest.mark.parametrize("wrong", [line_of(1, 1, code=500), line_of(1, 1, body='{"allowed": false}')])
def test_latencies_raise_on_unexpected_answer(wrong: str) -> None:
    with pytest.raises(WrongAnswer):
        latencies([line_of(1, 1), wrong], (10, 12), 200, b'"allowed": true')


def summary_of(p50: float, cpu: float) -> Summary:
    return Summary(p50=p50, p99=9, cpu=cpu, own_cpu=0.1, rate=100, count=100)


def test_direct_rows_have_latency_goal_for_one_connection_only() -> None:
    own, bare = summary_of(3.5, 1), summary_of(0.25, 0.5)
    row = direct_rows(1, own, bare)["direct, 1 connection: p50"]
    assert (row["met"], row["peer"]) == (False, "floor: 0.25")
    assert not [each for each in direct_rows(16, own, bare).values() if "goal" in each]


def test_through_rows_compare_create_with_and_without_webhook() -> None:
    row = through_rows(1, summary_of(3, 1), summary_of(2, 1))["dry-run create, 1 connection: p50"]
    assert (row["value"], row["peer"]) == (3, "without the webhook: 2.00")


def test_ratio_rows_have_goals() -> None:
    rows = ratio_rows("16 connections", summary_of(1.2, 2), summary_of(1, 1))
    assert [(each["value"], each["met"]) for each in rows.values()] == [(1.2, True), (2, False)]


def test_bench_reviews_are_of_distinct_models_with_reservations() -> None:
    requests = [read(each) for each in reviews.reviews("asked")]
    assert len({each.object_uid for each in requests}) == len({each.uid for each in requests}) == reviews.DISTINCT
    assert not [each for each in requests if each.dry_run]


@pytest.mark.parametrize(("memory", "fits"), [(reviews.MEMORY, True), (reviews.TOO_MUCH, False)])
def test_bench_reviews_get_expected_decisions(memory: str, *, fits: bool) -> None:
    host: dict[str, Any] = host_object(memory=reviews.HOST_MEMORY)
    cache = cache_of(host | {"metadata": host["metadata"] | {"namespace": "asked"}})
    outcomes = [review(each, cache.view()) for each in reviews.reviews("asked", memory=memory)[:3]]
    assert [each.allowed for each in outcomes] == [fits] * 3
    assert all(bool(each.reserve) is fits for each in outcomes)
