"""Cache, allocations and reservations: each sum equals the recomputed one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.names import Key
from manyserve.plan.capacity import top_consumers
from manyserve.plan.memory import MemoryShare
from manyserve.webhook.allocations import Allocation, Allocations
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import being_deleted, cache_of, changed, waiting

HOST = Key("default", "triton-mms")
GIB = 1024**3


def allocation(memory: int, host: Key = HOST, framework: str = "onnx", model: str = "m") -> Allocation:
    return Allocation(host, framework, MemoryShare(model, memory))


OPERATIONS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(0, 2**63)))


@given(OPERATIONS)
def test_allocations_sums_equal_recomputed_sums(operations: list[tuple[str, str | None, int]]) -> None:
    allocations, expected = Allocations(), dict[str, Allocation]()
    for uid, host, memory in operations:
        if host is None:
            allocations.drop(uid)
            expected.pop(uid, None)
        else:
            expected[uid] = allocation(memory, Key("n", host), ("onnx", "pytorch")[memory % 2])
            allocations.put(uid, expected[uid])
    for host in ("x", "y"):
        on_host = {uid: each for uid, each in expected.items() if each.host.name == host}
        assert allocations.total(Key("n", host)) == sum(each.memory for each in on_host.values())
        assert dict(allocations.allocations(Key("n", host))) == on_host
        assert (
            allocations.largest(Key("n", host), 2) == sorted(on_host, key=lambda uid: (-on_host[uid].memory, uid))[:2]
        )
        assert set(allocations.frameworks(Key("n", host))) == {each.framework for each in on_host.values()}
    assert len(allocations) == len(expected)


ADMITTED = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5))


@given(ADMITTED, ADMITTED, st.sampled_from("abcdefgh"))
def test_cache_largest_consumers_equal_those_of_all_models(
    placed: dict[str, int], reserved: dict[str, int], without: str
) -> None:
    cache = cache_of(*(model_object(name, memory=memory) for name, memory in placed.items()))
    for name, memory in reserved.items():
        cache.reservations.reserve(f"uid-{name}", allocation(memory, model=name))
    memories = {name: placed.get(name, 0) + reserved.get(name, 0) for name in {*placed, *reserved} - {without}}
    expected = top_consumers([MemoryShare(*each) for each in memories.items()], len(memories))
    assert cache.view().largest_consumers(HOST, without=f"uid-{without}") == expected


def test_cache_counts_model_until_it_waits_or_is_deleted() -> None:
    cache, model = cache_of(host_object()), model_object()
    steps: list[tuple[Manifest | None, int]] = [
        (model, GIB),
        (waiting(model), 0),
        (model, GIB),
        (being_deleted(model), 0),
        (model_object(memory="512Mi"), GIB // 2),
        (None, 0),
    ]
    old: Manifest | None = None
    for new, expected in steps:
        changed(cache, new, old)
        assert cache.view().used(HOST) == expected
        old = new


def test_cache_ignores_model_larger_than_host_before_its_condition() -> None:
    host = host_object(memory="1Gi")
    cache = cache_of(model_object("huge", memory="3Gi"), model_object("small", memory="512Mi"))
    assert cache.view().used(HOST) == 3.5 * GIB, "its host does not exist yet"
    cache.host_changed(None, host)
    assert cache.view().used(HOST) == GIB / 2
    assert cache.view().used(HOST, without="uid-huge") == GIB / 2
    assert cache.view().largest_consumers(HOST) == top_consumers([MemoryShare("small", GIB // 2)], 1)
    assert cache.view().largest_consumers(HOST, without="uid-small") == top_consumers([], 0)
    cache.host_changed(host, host_object(memory="4Gi"))
    assert cache.view().used(HOST) == 3.5 * GIB


def test_cache_moves_memory_with_model() -> None:
    model, moved = model_object(), model_object(host="other")
    cache = cache_of(model)
    changed(cache, moved, model)
    assert cache.view().used(HOST) == 0
    assert cache.view().used(Key("default", "other")) == GIB


def test_cache_counts_recreated_model_once() -> None:
    old, new = model_object(), model_object()
    new["metadata"] = new["metadata"] | {"uid": "another"}
    cache = cache_of(old)
    changed(cache, new, old)
    assert cache.view().used(HOST) == GIB


def test_cache_keeps_models_of_recreated_host() -> None:
    host = host_object()
    cache = cache_of(host, model_object())
    changed(cache, None, host)
    assert cache.view().hosts == {}
    changed(cache, host_object(memory="8Gi"))
    assert cache.view().used(HOST) == GIB
