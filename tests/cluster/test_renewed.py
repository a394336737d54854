"""A model whose spec was seen to change is renewed until it is told about the newest one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel, TrainedModelStatus
from manyserve.cluster.observe import observe
from manyserve.cluster.renewed import Renewed
from manyserve.cluster.state import ClusterState
from tests.support import make

HOST = Key("default", "triton-mms")


def of_generation(number: int, told: int = 1, name: str = "a", host: str = "triton-mms") -> TrainedModel:
    found = make.model(name, host=host)
    metadata = found.metadata.model_copy(update={"generation": number})
    status = TrainedModelStatus(observed_generation=told)
    return found.model_copy(update={"metadata": metadata, "status": status})


def test_it_is_renewed_from_its_change_until_it_is_told_and_a_further_change_makes_it_no_younger() -> None:
    seconds = iter(range(10))
    renewed = Renewed(lambda: make.NOW + timedelta(seconds=next(seconds)))
    first, second, third = of_generation(1), of_generation(2), of_generation(3)
    renewed.stored(None, first)
    assert renewed.of(HOST) == {}
    renewed.stored(first, second)
    renewed.stored(second, third)
    assert renewed.of(HOST) == {"a": make.NOW}
    told = of_generation(3, told=3)
    renewed.stored(third, told)
    assert renewed.of(HOST) == {}
    renewed.stored(told, of_generation(4, told=3))
    assert renewed.of(HOST) == {"a": make.NOW + timedelta(seconds=1)}


def test_nobody_knows_when_a_model_was_renewed_that_was_not_seen_before() -> None:
    renewed = Renewed(lambda: make.NOW)
    renewed.stored(None, of_generation(2))
    assert renewed.of(HOST) == {}


def test_a_model_that_is_gone_or_on_another_host_is_not_renewed() -> None:
    renewed = Renewed(lambda: make.NOW)
    renewed.stored(of_generation(1), of_generation(2))
    renewed.stored(of_generation(2), None)
    assert renewed._since == {}
    renewed.stored(of_generation(1), of_generation(2))
    renewed.stored(of_generation(2), of_generation(3, host="another"))
    assert renewed._since == {}, "it does not answer on the host that it left"


def test_a_picture_says_which_of_its_models_are_renewed() -> None:
    known = ClusterState(lambda _key: None)
    known.config = make.config()
    before, after = _manifest(1), _manifest(2)
    known.update_model(None, before)
    known.update_model(before, after)
    seen = observe(known, HOST)
    assert seen is not None
    assert set(seen.generation_changed_at) == {"a"}


def _manifest(generation: int) -> dict[str, Any]:
    found = make.model_object("a")
    found["metadata"]["generation"] = generation
    return found | {"status": {"observedGeneration": 1}}
