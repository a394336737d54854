"""Time of a placement of 10,000 models on 36 shards, beside a floor: the former placement of them on one shard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random

import pytest

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import entry_of, place
from manyserve.plan.sharding.shard import Shard
from tests.plan.sharding import former
from tests.plan.sharding.hosts import CONFIG
from tests.support import make
from tests.support.figures import Figures

MODELS, SHARDS, GIB = 10_000, 36, 2**30
MOST_TIMES_FLOOR = 2
ROUNDS = 5


def large_host() -> tuple[InferenceService, list[TrainedModel]]:
    random = Random(1)
    most = SHARDS * 64 * 1024 * 16 // 10 // MODELS
    models = []
    for number in range(MODELS):
        raw = make.model_object(
            f"m{number:05d}", memory=f"{random.randint(1, most)}Mi", created=f"2026-01-01T{number:05d}"
        )
        copies = {"minReplicas": 2} if number % 10 == 0 else {}
        models.append(TrainedModel.from_wire(raw | {"spec": raw["spec"] | copies}))
    return make.host(memory="64Gi", allocation="Heterogeneous", maxReplicas=SHARDS), models


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        work()
        seconds.append(time.thread_time() - began)
    return min(seconds)


def stored(entries: dict[int, dict[str, Entry]]) -> dict[int, Shard]:
    return {index: Shard(dict(each), frozenset(each)) for index, each in entries.items()}


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """Return the figures, which are written at the end."""
    taken = Figures("sharding")
    yield taken
    for line in taken.write():
        print(line)


def test_placement_of_10_000_models_on_36_shards_is_quick_and_moves_nothing(figures: Figures) -> None:
    host, models = large_host()
    began = time.thread_time()
    first = place(host, models, {}, CONFIG)
    figures.take("10,000 models on 36 shards, from nothing", (time.thread_time() - began) * 1000, "ms")
    shards = stored({index: dict(each) for index, each in first.shards.items()})
    assert len(shards) <= SHARDS
    assert set(first.placed) == {each.metadata.name for each in models}
    one, held = make.host(memory="64Ti"), [entry_of(each) for each in models]
    plain = [each.model_copy(update={"spec": each.spec.model_copy(update={"min_replicas": None})}) for each in models]
    floor = best(lambda: former.place(one, plain, held, CONFIG))
    settled = best(lambda: place(host, models, shards, CONFIG))
    figures.take("10,000 models on 36 shards, settled", settled * 1000, "ms", below=60)
    peer = f"the placement from before there were shards, on one: {floor * 1000:.1f} ms"
    figures.take("settled placement", settled / floor, "times the floor", below=MOST_TIMES_FLOOR, peer=peer)
    figures.take("memory used of the shards in use", first.used / (len(shards) * 64 * GIB) * 100, "percent", below=101)
    assert settled < MOST_TIMES_FLOOR * floor


def test_placement_of_one_new_model_changes_one_models_json() -> None:
    host, models = large_host()
    shards = stored({index: dict(each) for index, each in place(host, models, {}, CONFIG).shards.items()})
    again = place(host, models, shards, CONFIG)
    assert {index: dict(each) for index, each in again.shards.items()} == {i: s.entries for i, s in shards.items()}
    after = place(host, [*models, make.model("new", memory=GIB)], shards, CONFIG)
    changed = [index for index, each in after.shards.items() if index not in shards or each != shards[index].entries]
    (index,) = changed
    before = shards[index].entries if index in shards else {}
    assert after.shards[index].keys() - before.keys() == {"new"}
    assert before.keys() <= after.shards[index].keys(), "nothing moves"
