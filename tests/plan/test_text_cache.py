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


def test_text_cache_reads_alternating_texts_once() -> None:
    assert made(TextCache(), *["a" * 1000, "b" * 1000, "c" * 1000] * 3) == ["a" * 1000, "b" * 1000, "c" * 1000]


def test_text_cache_drops_least_recently_used_value() -> None:
    cache: TextCache[str] = TextCache(longest=3 * (ENTRY + 1))
    assert made(cache, "a", "b", "c", "a", "d") == ["a", "b", "c", "d"]
    assert made(cache, "a", "c", "d") == []
    assert made(cache, "b") == ["b"]


def test_text_cache_keeps_last_two_values_of_any_length() -> None:
    assert made(TextCache(longest=1), *["aa", "bb"] * 3, "cc", "aa") == ["aa", "bb", "cc", "aa"]


def test_text_cache_bounds_values_of_length_zero() -> None:
    cache: TextCache[None] = TextCache(longest=10 * ENTRY)
    for number in range(100):
        cache.get(str(number), lambda _: (None, 0))
    assert len(cache._values) == 10
