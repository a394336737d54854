"""Who gets the memory: exact, sticky, in turn, and the same whatever the order of the input."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.quantity import parse_memory
from manyserve.plan.placement import entry_of, place
from tests.support import make

CONFIG = make.config()


def test_the_oldest_are_placed_first_and_ties_go_by_uid() -> None:
    models = [make.model("c"), make.model("b"), make.model("a", created="2026-02-01T00:00:00Z")]
    assert list(place(make.host(), models, (), CONFIG).placed) == ["b", "c"]


def test_the_one_that_waits_is_told_the_figures() -> None:
    models = [make.model("cifar10"), make.model("simple-string"), make.model("z")]
    assert place(make.host(), models, (), CONFIG).insufficient_memory["z"] == (
        "1Gi does not fit on triton-mms: 2Gi of 2Gi is used by 2 models "
        "(largest: cifar10 1Gi, simple-string 1Gi), 0 free. "
        "Lower spec.model.memory, delete a model, or raise the memory limit of the host's server."
    )


def test_what_is_placed_stays_even_if_an_older_one_waits() -> None:
    big, small = make.model("big", memory="2Gi"), make.model("small", created="2026-02-01T00:00:00Z")
    placement = place(make.host(), [big, small], [entry_of(small)], CONFIG)
    assert set(placement.placed) == {"small"}
    assert set(placement.insufficient_memory) == {"big"}


def test_one_that_grew_is_judged_after_those_that_did_not() -> None:
    old, other = make.model("a", memory="1Gi"), make.model("b", memory="1Gi")
    grown = make.model("a", memory="2Gi")
    placement = place(make.host(), [grown, other], [entry_of(old), entry_of(other)], CONFIG)
    assert set(placement.placed) == {"b"}


def test_one_that_shrank_keeps_its_place() -> None:
    old, other = make.model("b", memory="1Gi"), make.model("a", memory="1Gi")
    placement = place(make.host(memory="1Gi"), [other, make.model("b", memory="512Mi")], [entry_of(old)], CONFIG)
    assert set(placement.placed) == {"b"}


def test_a_smaller_one_behind_a_large_one_that_waits_is_placed() -> None:
    models = [make.model("a"), make.model("b", memory="3Gi"), make.model("c")]
    assert set(place(make.host(), models, (), CONFIG).placed) == {"a", "c"}


def test_a_framework_that_the_server_does_not_know_is_not_placed() -> None:
    assert not place(make.host(), [make.model(framework="sklearn")], (), CONFIG).placed


def test_memory_that_cannot_be_read_is_said_and_takes_nothing() -> None:
    placement = place(make.host(), [make.model("a", memory="abc")], (), CONFIG)
    assert placement.invalid["a"].startswith("spec.model.memory: 'abc' is not a quantity")


def test_an_unreadable_model_with_an_unreadable_entry_stays_and_stops_nothing() -> None:
    broken = entry_of(make.model("a", memory="abc"))
    placement = place(make.host(), [make.model("b")], [broken], CONFIG, unreadable={"a"})
    assert placement.placed == {"a": broken, "b": entry_of(make.model("b"))}
    assert not placement.insufficient_memory


def test_an_unreadable_model_does_not_stay_above_the_limit() -> None:
    big, small = entry_of(make.model("a", memory="3Gi")), entry_of(make.model("b", memory="2Gi"))
    placement = place(make.host(), [make.model("c")], [big, small], CONFIG, unreadable={"a", "b"})
    assert set(placement.placed) == {"b"}
    assert placement.used == placement.limit


def test_an_entry_edited_into_nonsense_is_written_anew() -> None:
    broken = entry_of(make.model("a", memory="abc"))
    assert place(make.host(), [make.model("a")], [broken], CONFIG).placed == {"a": entry_of(make.model("a"))}


def test_a_lowered_limit_lets_the_youngest_go() -> None:
    models = [make.model("a"), make.model("b")]
    placement = place(make.host(memory="1Gi"), models, [entry_of(each) for each in models], CONFIG)
    assert set(placement.placed) == {"a"}


@given(st.lists(st.integers(1, 2**62), max_size=30), st.integers(1, 2**62), st.integers(0, 30))
def test_the_sum_is_never_above_the_limit(sizes: list[int], limit: int, held: int) -> None:
    models = [make.model(f"m{index}", memory=size) for index, size in enumerate(sizes)]
    current = [entry_of(each) for each in models[:held]]
    placement = place(make.host(memory=str(limit)), models, current, CONFIG)
    total = sum(parse_memory(entry.model_spec.memory) for entry in placement.placed.values())
    assert total == placement.used <= limit
    assert set(placement.placed) | set(placement.insufficient_memory) == {each.metadata.name for each in models}
