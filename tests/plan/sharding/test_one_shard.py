"""Placement on one shard: it equals the placement from before there were shards."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import Placement, entry_of
from tests.fuzz.profile import tried
from tests.plan.sharding import former
from tests.support import make
from tests.support.placed import place_on_one

CONFIG = make.config()
NAMES = [f"m{number}" for number in range(8)]
MEMORY = st.sampled_from(["256Mi", "512Mi", "1Gi", "3Gi", "abc"])
SENTENCES = ("insufficient_memory", "left_out", "invalid", "waiting_for_unload")


@st.composite
def models(draw: st.DrawFn) -> list[TrainedModel]:
    frameworks = st.sampled_from(["pytorch", "onnx", "sklearn"])
    created = st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"])
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    return [make.model(name, memory=draw(MEMORY), framework=draw(frameworks), created=draw(created)) for name in names]


@st.composite
def held(draw: st.DrawFn, wanted: list[TrainedModel], *, grown: bool) -> list[Entry]:
    """Return entries: some of the models as they are, some that grew or shrank, and some of models that are gone."""
    before = [None, None, None, "4Gi", *(("128Mi",) if grown else ())]
    entries = [entry_of(each) for each in wanted if draw(st.booleans())]
    gone = draw(st.lists(st.sampled_from(["x", "y", "z"]), unique=True))
    changed = [
        each.model_copy(update={"model_spec": each.model_spec.model_copy(update={"memory": memory})})
        if each.model_spec.memory != "abc" and (memory := draw(st.sampled_from(before)))
        else each
        for each in entries
    ]
    return [*changed, *(entry_of(make.model(name, memory=draw(MEMORY))) for name in gone)]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Return cases. None has a model that grew on a host that unloads nothing: on a full one it comes last now."""
    wanted, not_unloaded = draw(models()), draw(st.sampled_from([(), (), ("z",), ("m1", "z")]))
    return {
        "host": make.host(memory=draw(st.sampled_from(["1Gi", "2Gi", "16Gi"]))),
        "models": wanted,
        "current": draw(held(wanted, grown=not not_unloaded)),
        "config": CONFIG if draw(st.integers(0, 5)) else make.config(multi_model=False),
        "unparsable": draw(st.sets(st.sampled_from(["x", "y"]))),
        "not_unloaded": not_unloaded,
    }


@given(cases())
@tried(400)
def test_placement_on_one_shard_equals_the_former_one(case: dict[str, Any]) -> None:
    before, after = former.place(**case), place_on_one(**case)
    assert after.placed == before.placed
    assert (after.used, after.limit) == (before.used, before.limit)
    for each in SENTENCES:
        assert getattr(after, each) == getattr(before, each), each
    assert after.waiting_copies == {}
    assert isinstance(after, Placement)
