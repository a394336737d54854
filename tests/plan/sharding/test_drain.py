"""Drain: the shard with the least memory goes when its copies fit elsewhere, with headroom, for ten minutes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import demands_of
from manyserve.plan.sharding.bounds import bounds_of
from manyserve.plan.sharding.drain import DRAIN_DELAY, Drain, next_drain
from manyserve.plan.sharding.shard import Shard
from tests.plan.sharding.hosts import host, model, shard
from tests.support.make import NOW

A, B, C = model("a", 6), model("b", 2), model("c", 1)
LATER = NOW + timedelta(seconds=DRAIN_DELAY)


def drain(
    models: list[TrainedModel],
    shards: Mapping[int, Shard],
    notes: Mapping[int, datetime] | None = None,
    of: InferenceService | None = None,
    now: datetime = NOW,
) -> Drain | None:
    owner = of or host()
    return next_drain(demands_of(owner, models, shards, {}), shards, bounds_of(owner), notes or {}, now)


def test_drain_chooses_the_shard_with_the_least_memory_and_waits() -> None:
    shards = {0: shard(A), 1: shard(B)}
    noted = drain([A, B], shards)
    assert noted == Drain(1, NOW, begun=False)
    assert noted is not None
    assert noted.left(NOW) == DRAIN_DELAY
    begun = drain([A, B], shards, {1: NOW}, now=LATER)
    assert begun == Drain(1, NOW, begun=True)
    assert begun is not None
    assert begun.left(LATER) is None


def test_drain_keeps_the_noted_shard_although_another_has_less_memory() -> None:
    assert drain([A, B, C], {0: shard(A), 1: shard(B), 2: shard(C)}, {1: NOW}, now=LATER) == Drain(1, NOW, begun=True)


def test_drain_needs_headroom_and_a_shard_above_the_fewest() -> None:
    large = model("b", 4)
    assert drain([A, large], {0: shard(A), 1: shard(large)}) is None, "nothing would be left"
    assert drain([A, B], {0: shard(A), 1: shard(B)}, of=host(least=2)) is None


def test_drain_counts_copies_that_are_elsewhere_already() -> None:
    assert drain([A, B], {0: shard(A, B), 1: shard(B)}, {1: NOW}, now=LATER) == Drain(1, NOW, begun=True)


def test_drain_begins_at_once_when_the_host_has_too_many_shards() -> None:
    large = model("b", 4)
    assert drain([A, large], {0: shard(A), 1: shard(large)}, of=host(most=1)) == Drain(1, NOW, begun=True)


def test_drain_needs_one_hole_for_each_copy() -> None:
    big = model("d", 5)
    assert drain([A, B, big], {0: shard(A), 1: shard(model("e", 6)), 2: shard(big)}) is None


def test_drain_does_not_move_copies_to_a_shard_that_unloads_nothing() -> None:
    small = model("d", 1)
    assert drain([A, B, small], {0: shard(A, not_unloaded=("gone",)), 1: shard(B, small)}) == Drain(0, NOW, begun=False)


def test_drain_begins_anew_after_the_clock_was_set_back() -> None:
    note = NOW + timedelta(hours=1)
    assert drain([A, B], {0: shard(A), 1: shard(B)}, {1: note}) == Drain(1, NOW, begun=False)
