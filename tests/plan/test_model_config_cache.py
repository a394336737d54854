"""Cache of parsed `models.json` lists: no second parse of a text, no parse of a planned one, and its bounds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import modelconfig
from manyserve.api.modelconfig import Entry
from manyserve.plan import model_config_cache
from manyserve.plan.model_config_cache import ENTRY, ModelConfigCache, TextCache
from manyserve.plan.placement import entry_of
from tests.support import make


def placed(*names: str) -> dict[str, Entry]:
    return {name: entry_of(make.model(name)) for name in names}


def text_of(*names: str) -> str:
    return modelconfig.dump(placed(*names).values())


def test_model_config_cache_returns_planned_entries_of_a_written_text() -> None:
    cache, planned = ModelConfigCache(), placed("b", "a")
    text = cache.text(planned, "[]\n")
    assert text == text_of("a", "b")
    assert [each.model_name for each in cache.entries(text)] == ["a", "b"]
    assert all(each is planned[each.model_name] for each in cache.entries(text))


def test_model_config_cache_does_not_dump_an_unchanged_text(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ModelConfigCache()
    text = cache.text(placed("a"), "[]\n")
    monkeypatch.setattr(model_config_cache, "dump", None)
    assert cache.text({each.model_name: each for each in cache.entries(text)}, text) is text


def test_model_config_cache_dumps_equal_text_of_another_form() -> None:
    cache, theirs = ModelConfigCache(), json.dumps(json.loads(text_of("b", "a")))
    known = {each.model_name: each for each in cache.entries(theirs)}
    assert set(known) == {"a", "b"}
    assert cache.text(known, theirs) == text_of("a", "b")


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"modelName": "a"}]'])
def test_model_config_cache_has_no_entries_of_unreadable_text(text: str) -> None:
    cache = ModelConfigCache()
    assert cache.entries(text) == ()
    assert cache.text({}, text) == "[]\n"


@given(st.lists(st.sets(st.sampled_from("abcd")), min_size=1, max_size=8))
def test_model_config_cache_text_equals_a_dump_after_any_placements(steps: list[set[str]]) -> None:
    cache, text = ModelConfigCache(TextCache(longest=500)), "[]\n"
    for names in steps:
        known = {each.model_name: each for each in cache.entries(text)}
        text = cache.text({name: known.get(name) or entry_of(make.model(name)) for name in sorted(names)}, text)
        assert text == text_of(*names)


def reads(cache: TextCache[str], *texts: str) -> list[str]:
    """Return the texts that the cache did not hold."""
    read: list[str] = []

    def make(text: str) -> tuple[str, int]:
        read.append(text)
        return text.upper(), len(text)

    assert [cache.get(text, make) for text in texts] == [text.upper() for text in texts]
    return read


def test_text_cache_reads_alternating_texts_once() -> None:
    assert reads(TextCache(), *["a" * 1000, "b" * 1000, "c" * 1000] * 3) == ["a" * 1000, "b" * 1000, "c" * 1000]


def test_text_cache_drops_least_recently_used_value() -> None:
    cache: TextCache[str] = TextCache(longest=3 * (ENTRY + 1))
    assert reads(cache, "a", "b", "c", "a", "d") == ["a", "b", "c", "d"]
    assert reads(cache, "a", "c", "d") == []
    assert reads(cache, "b") == ["b"]


def test_text_cache_keeps_last_two_values_of_any_length() -> None:
    assert reads(TextCache(longest=1), *["aa", "bb"] * 3, "cc", "aa") == ["aa", "bb", "cc", "aa"]


def test_text_cache_bounds_values_of_length_zero() -> None:
    cache: TextCache[None] = TextCache(longest=10 * ENTRY)
    for number in range(100):
        cache.get(str(number), lambda _: (None, 0))
    assert len(cache._values) == 10
