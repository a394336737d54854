"""The cache of what texts say: bounded by their length, and shared by hosts that are planned in turn."""

from __future__ import annotations

from manyserve.plan.model_config_cache import ENTRY, TextCache


def made(cache: TextCache[str], *texts: str) -> list[str]:
    """Return which of the texts had to be read."""
    read: list[str] = []

    def make(text: str) -> tuple[str, int]:
        read.append(text)
        return text.upper(), len(text)

    assert [cache.get(text, make) for text in texts] == [text.upper() for text in texts]
    return read


def test_texts_that_are_planned_in_turn_are_each_read_once() -> None:
    assert made(TextCache(), *["a" * 1000, "b" * 1000, "c" * 1000] * 3) == ["a" * 1000, "b" * 1000, "c" * 1000]


def test_past_the_limit_the_one_that_was_not_used_longest_is_dropped() -> None:
    cache: TextCache[str] = TextCache(longest=3 * (ENTRY + 1))
    assert made(cache, "a", "b", "c", "a", "d") == ["a", "b", "c", "d"]
    assert made(cache, "a", "c", "d") == []
    assert made(cache, "b") == ["b"]


def test_the_last_two_stay_however_long_they_are() -> None:
    assert made(TextCache(longest=1), *["aa", "bb"] * 3, "cc", "aa") == ["aa", "bb", "cc", "aa"]


def test_texts_that_cannot_be_read_and_have_no_length_are_bounded_too() -> None:
    cache: TextCache[None] = TextCache(longest=10 * ENTRY)
    for number in range(100):
        cache.get(str(number), lambda _: (None, 0))
    assert len(cache._values) == 10
