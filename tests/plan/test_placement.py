"""Placement: exact, sticky, in order of creation, and independent of the order of the input."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.quantity import parse_memory
from manyserve.plan.placement import entry_of
from tests.support import make
from tests.support.placed import place_on_one

CONFIG = make.config()


def test_placement_order_is_creation_time_then_uid() -> None:
    models = [make.model("c"), make.model("b"), make.model("a", created="2026-02-01T00:00:00Z")]
    assert list(place_on_one(make.host(), models, (), CONFIG).placed) == ["b", "c"]


def test_placement_gives_figures_for_a_waiting_model() -> None:
    models = [make.model("cifar10"), make.model("simple-string"), make.model("z")]
    assert place_on_one(make.host(), models, (), CONFIG).insufficient_memory["z"] == (
        "1Gi does not fit on triton-mms: 2Gi of 2Gi is used by 2 models "
        "(largest: cifar10 1Gi, simple-string 1Gi), 0 free. "
        "Lower spec.model.memory, delete a model, or raise the memory limit of the host's server."
    )


def test_placement_keeps_placed_model_while_older_model_waits() -> None:
    big, small = make.model("big", memory="2Gi"), make.model("small", created="2026-02-01T00:00:00Z")
    placement = place_on_one(make.host(), [big, small], [entry_of(small)], CONFIG)
    assert set(placement.placed) == {"small"}
    assert set(placement.insufficient_memory) == {"big"}


def test_placement_considers_grown_model_after_unchanged_ones() -> None:
    old, other = make.model("a", memory="1Gi"), make.model("b", memory="1Gi")
    grown = make.model("a", memory="2Gi")
    placement = place_on_one(make.host(), [grown, other], [entry_of(old), entry_of(other)], CONFIG)
    assert set(placement.placed) == {"b"}


def test_placement_keeps_shrunk_model() -> None:
    old, other = make.model("b", memory="1Gi"), make.model("a", memory="1Gi")
    placement = place_on_one(make.host(memory="1Gi"), [other, make.model("b", memory="512Mi")], [entry_of(old)], CONFIG)
    assert set(placement.placed) == {"b"}


def test_placement_places_smaller_model_behind_waiting_large_one() -> None:
    models = [make.model("a"), make.model("b", memory="3Gi"), make.model("c")]
    assert set(place_on_one(make.host(), models, (), CONFIG).placed) == {"a", "c"}


def test_placement_skips_unsupported_framework() -> None:
    assert not place_on_one(make.host(), [make.model(framework="sklearn")], (), CONFIG).placed


def test_placement_reports_unreadable_memory() -> None:
    placement = place_on_one(make.host(), [make.model("a", memory="abc")], (), CONFIG)
    assert placement.invalid["a"].startswith("spec.model.memory: 'abc' is not a quantity")


def test_placement_keeps_unreadable_entry_of_unreadable_model() -> None:
    broken = entry_of(make.model("a", memory="abc"))
    placement = place_on_one(make.host(), [make.model("b")], [broken], CONFIG, unparsable={"a"})
    assert placement.placed == {"a": broken, "b": entry_of(make.model("b"))}
    assert not placement.insufficient_memory


def test_placement_drops_unreadable_model_above_the_limit() -> None:
    big, small = entry_of(make.model("a", memory="3Gi")), entry_of(make.model("b", memory="2Gi"))
    placement = place_on_one(make.host(), [make.model("c")], [big, small], CONFIG, unparsable={"a", "b"})
    assert set(placement.placed) == {"b"}
    assert placement.used == placement.limit


def test_placement_rewrites_malformed_entry() -> None:
    broken = entry_of(make.model("a", memory="abc"))
    assert place_on_one(make.host(), [make.model("a")], [broken], CONFIG).placed == {"a": entry_of(make.model("a"))}


def test_placement_drops_youngest_model_after_lowered_limit() -> None:
    models = [make.model("a"), make.model("b")]
    placement = place_on_one(make.host(memory="1Gi"), models, [entry_of(each) for each in models], CONFIG)
    assert set(placement.placed) == {"a"}


@given(st.lists(st.integers(1, 2**62), max_size=30), st.integers(1, 2**62), st.integers(0, 30))
def test_placement_sum_is_never_above_the_limit(sizes: list[int], limit: int, held: int) -> None:
    models = [make.model(f"m{index}", memory=size) for index, size in enumerate(sizes)]
    current = [entry_of(each) for each in models[:held]]
    placement = place_on_one(make.host(memory=str(limit)), models, current, CONFIG)
    total = sum(parse_memory(entry.model_spec.memory) for entry in placement.placed.values())
    assert total == placement.used <= limit
    assert set(placement.placed) | set(placement.insufficient_memory) == {each.metadata.name for each in models}
