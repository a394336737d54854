"""`models.json` in its ConfigMap: its two forms, their limits, and the models beyond them."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions, modelconfig
from manyserve.api.modelconfig import KEY, PACKED_KEY, Entry, parse
from manyserve.api.names import Key
from manyserve.plan import model_config
from manyserve.plan.model_config import current_text, entries_at_most, models_beyond_limit, text_of, write_model_config
from manyserve.plan.observed import Child, Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.support import make, world
from tests.support.placed import place_on_one
from tests.support.poison import REFUSED, TAKEN, config_map_forms

CHILD = Child("ConfigMap", "modelconfig-triton-mms-0")
HOST = make.host()
SHORT = modelconfig.dump([entry_of(make.model("a"))])
Manifest = dict[str, Any]


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits: a few models as text, some more packed, no further ones."""
    monkeypatch.setattr(model_config, "LONGEST_TEXT", 900)
    monkeypatch.setattr(model_config, "SHORTEST_PACKED", 500)
    monkeypatch.setattr(model_config, "LARGEST_PACKED", 1500)


def models(count: int) -> list[Any]:
    digests = (hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
    return [make.model(f"m-{number:02d}", memory="1Mi", digest=f"sha256:{each}") for number, each in enumerate(digests)]


def written(text: str, observed: Manifest | None = None) -> Manifest:
    action = write_model_config(HOST, 0, text, observed, {})
    assert action is not None
    return action.manifest | {"metadata": action.manifest["metadata"] | {"resourceVersion": "7"}}


def forms(manifest: Manifest) -> set[str]:
    return {*manifest.get("data", {}), *manifest.get("binaryData", {})}


def settled(count: int) -> Observed:
    start = Observed(
        key=Key("default", "triton-mms"),
        config=make.config(),
        host=HOST,
        models=tuple(models(count)),
        pods=(make.pod(),),
    )
    return world.settle(start)


def test_model_config_packs_a_long_list_only() -> None:
    long = SHORT + " " * model_config.LONGEST_TEXT
    assert forms(written(SHORT)) == {KEY}
    assert forms(written(long)) == {PACKED_KEY}
    assert text_of(written(long)) == long
    assert written(long) == written(long), "the same text is the same bytes"


@pytest.mark.usefixtures("tight")
def test_model_config_form_has_hysteresis() -> None:
    middle, long = SHORT + " " * 600, SHORT + " " * 900
    assert forms(written(middle)) == {KEY}
    assert forms(written(middle, written(long))) == {PACKED_KEY}
    assert forms(written(SHORT, written(long))) == {KEY}


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("count", [2, 6])
def test_model_config_is_stable_in_both_forms(count: int) -> None:
    observed = settled(count)
    assert forms(observed.children[CHILD]) == ({KEY} if count == 2 else {PACKED_KEY})
    assert len(parse(current_text(HOST, observed.children[CHILD]))) == count
    assert plan(observed, make.NOW).empty


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize(
    "edit",
    [
        {"data": {KEY: "[]"}},
        {"binaryData": {}},
        {"binaryData": {PACKED_KEY: b64encode(modelconfig.pack("[]")).decode()}},
        {"binaryData": {PACKED_KEY: b64encode(b"no gzip").decode()}},
        {"binaryData": {PACKED_KEY: "?"}},
    ],
    ids=["a list as text beside it", "no list", "another list", "no gzip", "no base64"],
)
def test_model_config_restores_an_edited_packed_list(edit: Manifest) -> None:
    observed = settled(6)
    before = observed.children[CHILD]
    edited = replace(observed, children={**observed.children, CHILD: before | edit})
    (config,) = plan(edited, make.NOW).configs
    assert config is not None
    assert config.resource_version == before["metadata"]["resourceVersion"]
    assert forms(config.manifest) == {PACKED_KEY}
    assert text_of(config.manifest) == text_of(before)


@pytest.mark.usefixtures("tight")
def test_model_config_ignores_an_added_key() -> None:
    observed = settled(6)
    more = observed.children[CHILD] | {"data": {"notes": "mine"}}
    assert plan(replace(observed, children={**observed.children, CHILD: more}), make.NOW).configs == ()


@pytest.mark.usefixtures("tight")
def test_model_config_accepts_other_bytes_of_the_same_text() -> None:
    observed = settled(6)
    before = observed.children[CHILD]
    other = b64encode(gzip.compress((text_of(before) or "").encode(), compresslevel=1, mtime=9)).decode()
    assert other != before["binaryData"][PACKED_KEY]
    again = before | {"binaryData": {PACKED_KEY: other}}
    assert plan(replace(observed, children={**observed.children, CHILD: again}), make.NOW).empty


@pytest.mark.usefixtures("tight")
def test_model_config_full_stops_placement_and_keeps_placed_models() -> None:
    first = settled(10)
    placed = world.placed(first)
    assert placed == {f"m-{number:02d}" for number in range(10)}
    after = world.settle(replace(first, models=(*first.models, *models(60)[10:])))
    assert placed < world.placed(after) < {each.metadata.name for each in after.models}
    assert len(modelconfig.pack(text_of(after.children[CHILD]) or "")) <= 1500
    assert plan(after, make.NOW).empty


@pytest.mark.usefixtures("tight")
def test_model_config_full_is_reported_by_model_and_host_without_memory_use() -> None:
    observed = settled(60)
    assert observed.host is not None
    count = len(world.placed(observed))
    left_out = next(each for each in observed.models if each.metadata.name not in world.placed(observed))
    ready = conditions.find(left_out.status.conditions, conditions.READY)
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "ModelConfigFull")
    assert ready.message == (
        "triton-mms is full: the list of its models, models.json, holds at most "
        "1 MiB packed, 8 MiB of text and 32,000 models; place the model on another InferenceService"
    )
    predictor = conditions.find(observed.host.status.conditions, conditions.PREDICTOR_READY)
    assert predictor is not None
    assert (predictor.status, predictor.reason) == ("True", "ModelConfigFull")
    assert predictor.message == (
        f"{60 - count} models are not placed: models.json holds at most 1 MiB packed, 8 MiB of text and 32,000 models"
    )
    assert observed.host.status.models == f"{count}/60"
    assert observed.host.status.memory == f"{count}Mi/2Gi"


@pytest.mark.usefixtures("tight")
def test_model_config_freed_space_is_used_in_order() -> None:
    observed = settled(60)
    placed = world.placed(observed)
    after = world.settle(replace(observed, models=observed.models[5:]))
    names = [each.metadata.name for each in after.models]
    assert world.placed(after) == set(names[: len(world.placed(after))])
    assert len(world.placed(after)) >= len(placed) - 1


@pytest.mark.usefixtures("tight")
def test_models_beyond_limit_are_minimal() -> None:
    wanted: dict[str, Entry] = {each.metadata.name: entry_of(each) for each in models(60)}
    left_out = models_beyond_limit(wanted, {})
    fitting = [entry for name, entry in wanted.items() if name not in left_out]
    one_more = [*fitting, wanted[left_out[0]]]
    assert len(modelconfig.pack(modelconfig.dump(fitting))) <= 1500 < len(modelconfig.pack(modelconfig.dump(one_more)))


def test_placement_keeps_the_object_of_an_equal_entry() -> None:
    (entry,) = current = (entry_of(make.model("a")),)
    assert place_on_one(HOST, [make.model("a")], current, make.config()).placed["a"] is entry
    assert place_on_one(HOST, [make.model("a", memory="1Mi")], current, make.config()).placed["a"] is not entry


@pytest.mark.parametrize("form", ["plain", "packed", "both"])
@pytest.mark.parametrize("make_text", [*REFUSED.values(), *TAKEN.values()], ids=[*REFUSED, *TAKEN])
def test_model_config_replaces_a_poisoned_list(make_text: Callable[[], str], form: str) -> None:
    observed = settled(3)
    before = observed.children[CHILD]
    bare = {key: each for key, each in before.items() if key not in ("data", "binaryData")}
    edited = bare | config_map_forms(make_text())[form]
    (config,) = plan(replace(observed, children={**observed.children, CHILD: edited}), make.NOW).configs
    assert config is not None
    assert (config.resource_version, forms(config.manifest)) == (before["metadata"]["resourceVersion"], {KEY})
    assert text_of(config.manifest) == text_of(before)


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["x", "\u00e9", "\U0001f600"])), max_size=12, unique=True),
    st.sets(st.integers(0, 11)),
    st.booleans(),
)
def test_model_config_written_list_is_always_readable(
    parts: list[tuple[int, str]], held: set[int], is_packed: bool
) -> None:
    uris = [f"gs://bucket/{letter * length * 20}" for length, letter in parts]
    wanted = {f"m-{number}": entry_of(make.model(f"m-{number}", uri=uri)) for number, uri in enumerate(uris)}
    stays = {name: wanted[name] for name in (f"m-{number}" for number in held) if name in wanted}
    with pytest.MonkeyPatch.context() as limits:
        for module in (model_config, modelconfig):
            limits.setattr(module, "MAX_ENTRIES", 8)
            limits.setattr(module, "MAX_BYTES", 6000)
        limits.setattr(model_config, "LONGEST_TEXT", 0 if is_packed else 10_000)
        left_out = models_beyond_limit(wanted, stays)
        if wanted == stays:
            assert not left_out, "the current list was within the limits"
            return
        fitting = [wanted[name] for name in wanted if name not in left_out]
        config = write_model_config(HOST, 0, modelconfig.dump(fitting), None, {})
        entries = parse(text_of(config.manifest) or "") if config else ()
    assert set(entries) == set(fitting)
    assert fitting or not wanted


def test_model_config_list_ends_at_max_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_config, "MAX_ENTRIES", 4)
    assert world.placed(settled(6)) == {"m-00", "m-01", "m-02", "m-03"}


def test_entries_at_most_estimates_without_unpacking() -> None:
    assert entries_at_most(None) == entries_at_most({"data": None, "binaryData": None}) == 0
    assert entries_at_most({"data": {KEY: "x" * 10 * model_config.USUAL_ENTRY}}) == 10
    bomb = b64encode(modelconfig.pack(" " * 2**20)).decode()
    assert entries_at_most({"binaryData": {PACKED_KEY: bomb}}) > 2**20 / model_config.USUAL_ENTRY
