"""The sums: always what counting anew would give, and never slower for many models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.names import Key
from manyserve.plan.capacity import top_consumers
from manyserve.plan.memory import MemoryShare
from manyserve.webhook.allocations import Allocation, Allocations
from manyserve.webhook.reservations import Reservations
from tests.support.clock import FakeClock
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import cache_of, changed, leaving, waiting

HOST = Key("default", "triton-mms")
GIB = 1024**3


def allocation(memory: int, host: Key = HOST, framework: str = "onnx", model: str = "m") -> Allocation:
    return Allocation(host, framework, MemoryShare(model, memory))


OPERATIONS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(0, 2**63)))


@given(OPERATIONS)
def test_a_sum_is_what_counting_anew_would_give(operations: list[tuple[str, str | None, int]]) -> None:
    ledger, expected = Allocations(), dict[str, Allocation]()
    for uid, host, memory in operations:
        if host is None:
            ledger.drop(uid)
            expected.pop(uid, None)
        else:
            expected[uid] = allocation(memory, Key("n", host), ("onnx", "pytorch")[memory % 2])
            ledger.put(uid, expected[uid])
    for host in ("x", "y"):
        mine = {uid: each for uid, each in expected.items() if each.host.name == host}
        assert ledger.total(Key("n", host)) == sum(each.memory for each in mine.values())
        assert dict(ledger.allocations(Key("n", host))) == mine
        assert ledger.largest(Key("n", host), 2) == sorted(mine, key=lambda uid: (-mine[uid].memory, uid))[:2]
        assert set(ledger.frameworks(Key("n", host))) == {each.framework for each in mine.values()}
    assert len(ledger) == len(expected)


ADMITTED = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 5))


@given(ADMITTED, ADMITTED, st.sampled_from("abcdefgh"))
def test_who_takes_most_is_what_looking_at_all_models_would_give(
    shown: dict[str, int], reserved: dict[str, int], without: str
) -> None:
    cache = cache_of(*(model_object(name, memory=memory) for name, memory in shown.items()))
    for name, memory in reserved.items():
        cache.reservations.reserve(f"uid-{name}", allocation(memory, model=name))
    memories = {name: shown.get(name, 0) + reserved.get(name, 0) for name in {*shown, *reserved} - {without}}
    expected = top_consumers([MemoryShare(*each) for each in memories.items()], len(memories))
    assert cache.view().largest_consumers(HOST, without=f"uid-{without}") == expected


def test_a_model_counts_from_its_creation_until_it_waits_leaves_or_is_gone() -> None:
    cache, model = cache_of(host_object()), model_object()
    steps: list[tuple[Manifest | None, int]] = [
        (model, GIB),
        (waiting(model), 0),
        (model, GIB),
        (leaving(model), 0),
        (model_object(memory="512Mi"), GIB // 2),
        (None, 0),
    ]
    old: Manifest | None = None
    for new, expected in steps:
        changed(cache, new, old)
        assert cache.view().used(HOST) == expected
        old = new


def test_a_model_that_is_larger_than_its_host_takes_nothing_of_it_before_it_is_told_either() -> None:
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


def test_a_model_that_moves_takes_its_memory_along() -> None:
    here, there = model_object(), model_object(host="other")
    cache = cache_of(here)
    changed(cache, there, here)
    assert cache.view().used(HOST) == 0
    assert cache.view().used(Key("default", "other")) == GIB


def test_a_namesake_made_after_a_model_is_gone_is_counted_once() -> None:
    old, new = model_object(), model_object()
    new["metadata"] = new["metadata"] | {"uid": "another"}
    cache = cache_of(old)
    changed(cache, new, old)
    assert cache.view().used(HOST) == GIB


def test_a_replaced_host_keeps_the_models_that_name_it() -> None:
    host = host_object()
    cache = cache_of(host, model_object())
    changed(cache, None, host)
    assert cache.view().hosts == {}
    changed(cache, host_object(memory="8Gi"))
    assert cache.view().used(HOST) == GIB


def test_a_renewed_reservation_is_not_ended_by_its_first_deadline() -> None:
    clock = FakeClock()
    reservations = Reservations(clock)
    reservations.reserve("a", allocation(1))
    clock.now += 6
    reservations.reserve("a", allocation(2))
    clock.now += 6
    reservations.expire()
    assert reservations.allocations.total(HOST) == 2
    clock.now += 6
    reservations.expire()
    assert reservations.allocations.total(HOST) == 0


def test_nothing_is_left_of_reservations_that_ended() -> None:
    clock = FakeClock()
    reservations = Reservations(clock)
    for index in range(1000):
        reservations.reserve(str(index), allocation(1))
        reservations.release(str(index))
    clock.now += 11
    reservations.expire()
    assert len(reservations.allocations) == len(reservations) == 0
