"""Placement on several shards: first copies, further copies, growth, surplus copies, moves and sentences."""

from __future__ import annotations

import pytest

from manyserve.plan.sharding.shard import Shard
from tests.plan.sharding.hosts import host, model, names, placed, shard

A, B, C = model("a", 6), model("b", 3), model("c", 3)


def test_placement_opens_the_fewest_shards_of_a_host_at_once() -> None:
    assert names(placed([], {}, host(least=2))) == {0: [], 1: []}


def test_placement_puts_first_copy_where_the_least_memory_is_left() -> None:
    assert names(placed([A, B, C], {0: shard(B), 1: shard(A)})) == {0: ["b"], 1: ["a", "c"]}


def test_placement_opens_the_lowest_unused_shard() -> None:
    assert names(placed([A, model("d", 9)], {0: shard(A), 2: shard()}, host(most=4))) == {0: ["a"], 2: ["d"]}
    assert names(placed([A, model("d", 9), model("e", 9)], {0: shard(A), 2: shard()})) == {0: ["a"], 1: ["e"], 2: ["d"]}


def test_placement_puts_copies_on_different_shards_with_the_least_load_first() -> None:
    twice = model("a", 2, minReplicas=2)
    shards = {0: shard(twice), 1: Shard(load=5000), 2: Shard(load=1000)}
    assert names(placed([twice], shards)) == {0: ["a"], 1: [], 2: ["a"]}


def test_placement_compares_loads_in_whole_requests_and_then_the_free_memory() -> None:
    twice = model("a", 2, minReplicas=2)
    shards = {0: shard(twice), 1: shard(B, load=1100), 2: Shard(load=1900)}
    assert names(placed([twice, B], shards)) == {0: ["a"], 1: ["b"], 2: ["a"]}


def test_placement_moves_no_copy_for_the_loads() -> None:
    twice = model("a", 2, minReplicas=2)
    shards = {0: shard(twice, load=9000), 1: shard(twice, load=9000), 2: Shard()}
    assert names(placed([twice], shards, host(least=3))) == {0: ["a"], 1: ["a"], 2: []}


def test_placement_places_all_first_copies_before_further_ones() -> None:
    old, young = model("a", 8, minReplicas=2), model("b", 8)
    placement = placed([old, young], {}, host(least=2, most=2))
    assert names(placement) == {0: ["a"], 1: ["b"]}
    assert placement.waiting_copies["a"].startswith("8 does not fit on triton-mms, which has 2 of 2 pods with 10 each")


def test_placement_gives_at_most_as_many_copies_as_the_host_has_pods() -> None:
    placement = placed([model("a", 1, minReplicas=5)], {}, host(most=2))
    assert names(placement) == {0: ["a"], 1: ["a"]}
    assert not placement.waiting_copies


def test_placement_scales_within_the_bounds_of_the_model() -> None:
    wide = model("a", 1, minReplicas=1, maxReplicas=2)
    assert names(placed([wide], {0: shard(wide)}, scaled={"a": 3})) == {0: ["a"], 1: ["a"]}
    both = {0: shard(wide), 1: shard(wide)}
    assert names(placed([wide], both, scaled={"a": 0})) == {0: ["a"], 1: []}


def test_placement_keeps_surplus_copy_until_enough_others_are_routed() -> None:
    both = {0: shard(A, routed=False), 1: shard(A)}
    assert names(placed([A], both)) == {0: [], 1: ["a"]}
    neither = {0: shard(A, routed=False), 1: shard(A, routed=False)}
    assert names(placed([A], neither)) == {0: ["a"], 1: ["a"]}


def test_placement_drains_a_shard_after_its_copies_are_routed_elsewhere() -> None:
    first = placed([A, B], {0: shard(A), 1: shard(B)}, draining=1)
    assert names(first) == {0: ["a", "b"], 1: ["b"]}
    loading = {0: shard(A, B, routed=False), 1: shard(B)}
    assert names(placed([A, B], loading, draining=1)) == {0: ["a", "b"], 1: ["b"]}
    assert names(placed([A, B], {0: shard(A, B), 1: shard(B)}, draining=1)) == {0: ["a", "b"], 1: []}


def test_placement_opens_no_shard_for_a_drain() -> None:
    assert names(placed([A, B, model("d", 5)], {0: shard(A, B), 1: shard(model("d", 5))}, draining=1)) == {
        0: ["a", "b"],
        1: ["d"],
    }


def test_placement_keeps_entry_of_grown_model_until_another_shard_answers() -> None:
    other, grown = model("b", 4), model("a", 8)
    before = {0: shard(A, other)}
    first = placed([grown, other], before)
    assert {index: entries["a"].model_spec.memory for index, entries in first.shards.items()} == {0: 6, 1: 8}
    loading = {0: before[0], 1: shard(grown, routed=False)}
    assert names(placed([grown, other], loading)) == {0: ["a", "b"], 1: ["a"]}
    assert names(placed([grown, other], {0: before[0], 1: shard(grown)})) == {0: ["b"], 1: ["a"]}


def test_placement_keeps_entry_of_model_larger_than_a_pod() -> None:
    placement = placed([model("a", 11)], {0: shard(A)})
    assert names(placement) == {0: ["a"]}
    assert placement.insufficient_memory["a"] == (
        "11 does not fit into a pod of triton-mms, which has 10 for models. "
        "Lower spec.model.memory, or raise the memory limit of the host's server. It stays loaded with 6."
    )


def test_placement_moves_another_copy_to_make_a_hole_for_a_further_copy() -> None:
    twice, wide = model("a", 6, minReplicas=2), host(most=3)
    x, y, z = model("x", 5), model("y", 3), model("z", 5)
    models, start = [twice, x, y, z], {0: shard(twice), 1: shard(x), 2: shard(y, z)}
    first = placed(models, start, wide)
    assert names(first) == {0: ["a"], 1: ["x", "z"], 2: ["y", "z"]}
    assert first.waiting_copies.keys() == {"a"}
    loading = {0: start[0], 1: Shard(shard(x, z).entries, frozenset({"x"})), 2: start[2]}
    assert names(placed(models, loading, wide)) == names(first)
    assert names(placed(models, {0: start[0], 1: shard(x, z), 2: start[2]}, wide)) == {
        0: ["a"],
        1: ["x", "z"],
        2: ["a", "y"],
    }


def test_placement_puts_no_new_model_on_a_shard_that_unloads_nothing() -> None:
    closed = shard(A, not_unloaded=("gone",))
    assert names(placed([A, B], {0: closed}, host(most=2))) == {0: ["a"], 1: ["b"]}
    placement = placed([A, B], {0: closed}, host(most=1))
    assert placement.waiting_for_unload["b"].startswith("triton-mms takes no new model")
    assert names(placed([A, model("gone", 1)], {0: closed}, host(most=1))) == {0: ["a", "gone"]}


def test_placement_names_the_free_memory_of_each_shard() -> None:
    shards = {0: shard(A), 1: shard(model("d", 8)), 2: shard(model("e", 9))}
    placement = placed([A, model("d", 8), model("e", 9), model("f", 5)], shards)
    assert placement.insufficient_memory["f"] == (
        "5 does not fit on triton-mms, which has 3 of 3 pods with 10 each; free: 4, 2, 1. "
        "Lower spec.model.memory, delete a model, or raise spec.predictor.maxReplicas."
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_placement_is_independent_of_the_order_of_shards(order: tuple[int, int]) -> None:
    shards = {0: shard(A), 1: shard(B)}
    models = [A, B, C, model("d", 2, minReplicas=2)]
    assert names(placed(models[:: 1 if order == (0, 1) else -1], {each: shards[each] for each in order})) == names(
        placed(models, shards)
    )
