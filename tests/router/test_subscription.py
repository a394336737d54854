"""One stream of delta ADS: one response in flight, and what follows a refusal."""

from __future__ import annotations

import pytest

from manyserve.router.subscription import RETRY_SECONDS, Subscription

VERSIONS = {"h0": 1, "h1": 1, "h2": 1}


@pytest.fixture
def stream() -> Subscription:
    """Return a stream that has sent all names, in response 1."""
    stream = Subscription()
    stream.subscribe(VERSIONS, ())
    stream.send("1", stream.next(VERSIONS, 0))
    return stream


def test_no_second_response_before_the_answer_to_the_first(stream: Subscription) -> None:
    stream.change(["h1"])
    newer = VERSIONS | {"h1": 2}
    assert stream.next(newer, 0) == {}
    assert stream.answer("1", 0, refused=False)
    assert stream.acknowledged == VERSIONS
    assert stream.next(newer, 0) == {"h1": 2}


@pytest.mark.parametrize("nonce", ["", "0", "2"])
def test_answer_to_another_response_counts_for_nothing(stream: Subscription, nonce: str) -> None:
    assert not stream.answer(nonce, 0, refused=False)
    assert stream.acknowledged == {}


def test_refused_names_are_sent_one_by_one_and_then_once_a_second(stream: Subscription) -> None:
    stream.answer("1", 0, refused=True)
    assert stream.acknowledged == {}
    sent: list[str] = []
    while names := stream.next(VERSIONS, 0):
        (name,) = names
        sent.append(name)
        stream.send(name, names)
        stream.answer(name, 0, refused=name == "h1")
    assert sorted(sent) == ["h0", "h1", "h2"]
    assert stream.acknowledged == {"h0": 1, "h2": 1}
    assert stream.is_refused
    assert stream.seconds_to_retry(0.25) == RETRY_SECONDS - 0.25
    assert stream.next(VERSIONS, RETRY_SECONDS) == {"h1": 1}
    stream.send("again", {"h1": 1})
    stream.answer("again", RETRY_SECONDS, refused=False)
    assert stream.acknowledged == VERSIONS
    assert not stream.is_refused


def test_newer_version_of_a_refused_name_is_sent_at_once(stream: Subscription) -> None:
    stream.answer("1", 0, refused=False)
    stream.change(["h1"])
    stream.send("2", stream.next(VERSIONS | {"h1": 2}, 0))
    stream.answer("2", 0, refused=True)
    stream.change(["h1"])
    assert stream.next(VERSIONS | {"h1": 3}, 0.1) == {"h1": 3}


def test_name_without_a_resource_waits_for_it() -> None:
    stream = Subscription()
    stream.subscribe(["h0"], ())
    assert stream.next({}, 0) == {}
    assert stream.next({"h0": 1}, 0) == {"h0": 1}


def test_name_that_is_subscribed_to_again_is_sent_again(stream: Subscription) -> None:
    stream.answer("1", 0, refused=False)
    stream.subscribe(["h2"], ())
    assert stream.next(VERSIONS, 0) == {"h2": 1}
    stream.subscribe((), ["h2"])
    stream.change(["h2"])
    assert stream.next(VERSIONS | {"h2": 2}, 0) == {}
