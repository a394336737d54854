"""What the measurement of the webhook makes of samples: percentiles, sums over rounds, and rows with their goals."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from bench.webhook import reviews
from bench.webhook.measure import direct_rows, ratio_rows, through_rows
from bench.webhook.samples import Round, Summary, WrongAnswer, latencies, percentile, summary

from manyserve.webhook.admission_request import read
from manyserve.webhook.review import review
from tests.support.make import host_object
from tests.webhook.reviews import cache_of


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (99.9, 100), (100, 100), (0, 1)])
def test_a_percentile_is_a_sample_that_so_many_do_not_exceed(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_one_sample_is_every_percentile() -> None:
    assert percentile([7], 50) == percentile([7], 99) == 7


def test_rounds_add_up_by_their_samples_and_not_by_their_averages() -> None:
    quick, slow = Round(2, [0.001] * 3, 0.004, 0.001), Round(2, [0.1], 0.004, 0.003)
    found = summary([quick, slow])
    assert (found.p50, found.p99) == (1, 100)
    assert found.cpu == pytest.approx(2)
    assert found.own_cpu == pytest.approx(1)
    assert (found.rate, found.count) == (1, 4)


def test_rounds_without_an_answer_are_no_figure() -> None:
    with pytest.raises(ValueError, match="no request was answered"):
        summary([Round(2, [], 0, 0)])


def line_of(began: float, seconds: float, code: int = 200, body: str = '{"allowed": true}') -> str:
    encoded = base64.b64encode(body.encode()).decode()
    return f"{int(began * 1e9)},{code},{int(seconds * 1e9)},1,1,,{encoded},,0,POST,https://localhost/validate,"


def test_only_requests_that_began_and_ended_in_the_window_count() -> None:
    lines = [line_of(began, 0.5) for began in (9.75, 10.0, 11.25, 11.75)]
    assert latencies(lines, (10, 12), 200, b'"allowed": true') == [0.5, 0.5]


@pytest.mark.parametrize("wrong", [line_of(1, 1, code=500), line_of(1, 1, body='{"allowed": false}')])
def test_an_answer_that_is_not_the_one_that_is_measured_ends_the_run(wrong: str) -> None:
    with pytest.raises(WrongAnswer):
        latencies([line_of(1, 1), wrong], (10, 12), 200, b'"allowed": true')


def summary_of(p50: float, cpu: float) -> Summary:
    return Summary(p50=p50, p99=9, cpu=cpu, own_cpu=0.1, rate=100, count=100)


def test_only_one_connection_has_a_goal_for_its_latency() -> None:
    own, bare = summary_of(3.5, 1), summary_of(0.25, 0.5)
    row = direct_rows(1, own, bare)["direct, 1 connection: p50"]
    assert (row["met"], row["peer"]) == (False, "floor: 0.25")
    assert not [each for each in direct_rows(16, own, bare).values() if "goal" in each]


def test_a_create_stands_beside_one_without_the_webhook() -> None:
    row = through_rows(1, summary_of(3, 1), summary_of(2, 1))["dry-run create, 1 connection: p50"]
    assert (row["value"], row["peer"]) == (3, "without the webhook: 2.00")


def test_what_many_models_cost_is_a_ratio_with_a_goal() -> None:
    rows = ratio_rows("16 connections", summary_of(1.2, 2), summary_of(1, 1))
    assert [(each["value"], each["met"]) for each in rows.values()] == [(1.2, True), (2, False)]


def test_the_reviews_are_of_different_models_that_all_reserve_memory() -> None:
    requests = [read(each) for each in reviews.reviews("asked")]
    assert len({each.object_uid for each in requests}) == len({each.uid for each in requests}) == reviews.DISTINCT
    assert not [each for each in requests if each.dry_run]


@pytest.mark.parametrize(("memory", "fits"), [(reviews.MEMORY, True), (reviews.TOO_MUCH, False)])
def test_the_reviews_are_answered_as_the_measurement_says(memory: str, *, fits: bool) -> None:
    host: dict[str, Any] = host_object(memory=reviews.HOST_MEMORY)
    cache = cache_of(host | {"metadata": host["metadata"] | {"namespace": "asked"}})
    outcomes = [review(each, cache.view()) for each in reviews.reviews("asked", memory=memory)[:3]]
    assert [each.allowed for each in outcomes] == [fits] * 3
    assert all(bool(each.reserve) is fits for each in outcomes)
