"""Reservations: believed for two seconds, ended by the informer, bounded, and suspended after an unconfirmed one."""

from __future__ import annotations

import pytest

from manyserve.api.names import Key
from manyserve.plan.memory import MemoryShare
from manyserve.webhook import reservations
from manyserve.webhook.allocations import Allocation
from manyserve.webhook.cache import Cache
from manyserve.webhook.reservations import LIFETIME, SUSPENSION, Reservations
from tests.support.clock import FakeClock
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import ask, cache_of, changed, message, waiting

HOST = Key("default", "triton-mms")
FIRST, SECOND = model_object("first"), model_object("second")
LONG_LIVED = 10 * SUSPENSION


def allocation(memory: int = 1, host: Key = HOST) -> Allocation:
    return Allocation(host, "onnx", MemoryShare("m", memory))


def full_host() -> tuple[Cache, FakeClock]:
    """Return a cache with a host that has memory for one model."""
    clock = FakeClock()
    return cache_of(host_object(memory="1Gi"), clock=clock), clock


def test_reservation_lasts_until_the_informer_shows_the_model() -> None:
    cache, clock = full_host()
    assert ask(cache, FIRST).allowed
    changed(cache, FIRST)
    changed(cache, waiting(FIRST), FIRST)
    assert ask(cache, SECOND).allowed
    clock.now += LIFETIME + SUSPENSION
    assert len(cache.view().reserved) == 0


def test_reservation_without_an_object_ends_after_two_seconds_and_suspends_those_of_its_host() -> None:
    cache, clock = full_host()
    cache.host_changed(None, host_object("other", memory="1Gi"))
    assert ask(cache, FIRST).allowed
    clock.now += LIFETIME - 0.1
    assert not ask(cache, SECOND).allowed
    clock.now += 0.2
    assert [ask(cache, model_object(f"m{number}")).allowed for number in range(3)] == [True] * 3
    on_other = [ask(cache, model_object(f"o{number}", host="other")).allowed for number in range(2)]
    assert on_other == [True, False], "another host has its reservations"
    clock.now += SUSPENSION
    assert [ask(cache, model_object(f"n{number}")).allowed for number in range(2)] == [True, False]


@pytest.mark.parametrize("uid", ["forged", "uid-victim"], ids=["new uid", "uid of a stored model"])
def test_forged_reviews_refuse_an_honest_create_for_two_seconds_of_a_minute(uid: str) -> None:
    victim = model_object("victim", memory=1)
    clock = FakeClock()
    cache = cache_of(host_object(memory="1Gi"), victim, clock=clock)
    refused = 0
    for _ in range(int(LONG_LIVED * 2)):
        ask(cache, with_uid(model_object("forged", memory="1023Mi"), uid))
        changed(cache, victim, victim)  # a status of the victim is written
        honest = ask(cache, model_object("honest", memory="1023Mi"), dryRun=True)
        refused += not honest.allowed
        assert honest.allowed or "used by" in message(honest)
        clock.now += 0.5
    assert refused / 2 <= (LONG_LIVED / SUSPENSION + 1) * LIFETIME


def with_uid(model: Manifest, uid: str) -> Manifest:
    return model | {"metadata": model["metadata"] | {"uid": uid}}


def test_reservation_of_growth_ends_when_the_informer_shows_all_of_it() -> None:
    small, large, huge = (model_object("cifar10", memory=each) for each in ("1Gi", "2Gi", "3Gi"))
    clock = FakeClock()
    cache = cache_of(host_object(memory="3Gi"), small, clock=clock)
    assert ask(cache, large, small).allowed
    assert ask(cache, huge, large).allowed
    changed(cache, small, small)
    assert cache.view().used(HOST) == 3 * 1024**3, "an older event ends nothing"
    changed(cache, large, small)
    changed(cache, huge, large)
    assert cache.view().used(HOST) == 3 * 1024**3
    assert len(cache.view().reserved) == 0


def test_reservation_ends_with_the_deletion_of_its_model() -> None:
    cache, _ = full_host()
    changed(cache, waiting(FIRST))
    assert ask(cache, FIRST).allowed
    changed(cache, None, FIRST)
    assert ask(cache, SECOND).allowed


def test_reservation_that_is_renewed_keeps_its_end() -> None:
    clock = FakeClock()
    kept = Reservations(clock)
    kept.reserve("a", allocation(1))
    clock.now += LIFETIME / 2
    kept.reserve("a", allocation(2))
    assert kept.allocations.total(HOST) == 2
    clock.now += LIFETIME / 2
    kept.expire()
    assert kept.allocations.total(HOST) == 0


def test_reservations_are_bounded_per_host_and_in_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "MAX_PER_HOST", 3)
    monkeypatch.setattr(reservations, "MAX_RESERVATIONS", 5)
    kept = Reservations(FakeClock())
    for name in ("x", "y", "z"):
        for number in range(5):
            kept.reserve(f"{name}{number}", allocation(host=Key("n", name)))
    assert [kept.allocations.total(Key("n", name)) for name in ("x", "y", "z")] == [3, 2, 0]


def test_reservations_leave_nothing_after_release() -> None:
    clock = FakeClock()
    kept = Reservations(clock)
    for index in range(1000):
        kept.reserve(str(index), allocation(1))
        kept.release(str(index))
    clock.now += LIFETIME
    kept.expire()
    assert len(kept.allocations) == len(kept) == 0
    kept.reserve("again", allocation(1))
    assert kept.allocations.total(HOST) == 1, "a released reservation suspends nothing"
