"""The control plane bench: differences of counts, goals, and figures."""

from __future__ import annotations

from collections import Counter

import pytest
from bench.agent.figures import missed
from bench.control.meter import Counts, apart, difference
from bench.control.results import figures_of
from bench.control.scenarios import Measured, middle

APPLY = "10 models on 1 host, apply"


def test_counts_difference_between_two_polls() -> None:
    before = Counts(at=1, writes=Counter({"a": 1}), configs=(5,), late=Counter({0.1: 2}))
    after = Counts(at=3, writes=Counter({"a": 4, "b": 1}), configs=(5, 6, 7), late=Counter({0.1: 2, 0.5: 1}))
    counts = difference(before, after)
    assert (counts.at, counts.writes, counts.configs) == (2, Counter({"a": 3, "b": 1}), (6, 7))
    assert [bound for bound, count in counts.late.items() if count] == [0.5]


def test_histogram_buckets_from_cumulative_counts() -> None:
    assert apart({"0.1": 3, "+Inf": 7, "0.5": 5}) == Counter({0.1: 3, 0.5: 2, float("inf"): 2})


def applied(**counts: object) -> Measured:
    return Measured(2.0, Counts(**counts), 100.0, floor=1.9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "name"),
    [
        ({"writes": Counter({"TrainedModel status": 31})}, "writes to models, for each"),
        ({"refused": 1.0}, "requests answered with 429"),
        ({"etcd": 10.1 * 1024 * 10}, "put into etcd a model, the user's writes too"),
        ({"blocked": Counter({0.25: 1})}, "event loop blocked, at most"),
    ],
)
def test_control_figures_miss_goal_when_exceeded(counts: dict[str, object], name: str) -> None:
    assert missed(figures_of({"apply": applied(**counts)}, 10, 1)[f"{APPLY}: {name}"])
    assert not any(map(missed, figures_of({"apply": applied()}, 10, 1).values()))


def test_control_figures_miss_goal_when_restart_writes() -> None:
    wrote = Measured(1.0, Counts(writes=Counter({"TrainedModel status": 1})), 100.0)
    assert missed(figures_of({"restart": wrote}, 10, 1)["10 models on 1 host, restart: writes to models"])


def test_control_figures_have_median_and_all_of_three_tries() -> None:
    tries = [Measured(1.0, Counts(), 100.0, in_config=seconds, alone=2.0) for seconds in (6.0, 3.9, 4.1)]
    rows = figures_of({"change 1000 URIs": middle(tries)}, 1000, 1)
    row = rows["1000 models on 1 host, change 1000 URIs: all of it in models.json, from the first request"]
    assert (row["value"], row["peer"]) == (4.1, "of 6.00, 3.90, 4.10 s; the requests alone took 2.00 s")


def test_control_figures_compare_changed_uris_with_requests_alone() -> None:
    name = "1000 models on 1 host, change 1000 URIs: all of it in models.json, beside the requests alone"
    for seconds, late in ((3.9, False), (4.1, True)):
        changed = Measured(1.0, Counts(), 100.0, in_config=seconds, alone=2.0)
        row = figures_of({"change 1000 URIs": changed}, 1000, 1)[name]
        assert (row["value"], missed(row)) == (seconds / 2, late)
