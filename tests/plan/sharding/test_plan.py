"""Plans of a heterogeneous host: children of each shard, paced roll-outs, and the removal of a drained shard."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from manyserve.api import modelconfig, names
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import Plan
from manyserve.plan.model_config import text_of
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from manyserve.plan.rules import allocation
from manyserve.plan.sharding.drain import DRAIN_DELAY
from tests.support import make, world

HOST = "triton-mms"
LATER = make.NOW + timedelta(seconds=DRAIN_DELAY)


@pytest.fixture(autouse=True)
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def observed(*models: TrainedModel, **predictor: Any) -> Observed:
    fields: dict[str, Any] = {"allocation": HETEROGENEOUS, "minReplicas": 1, "maxReplicas": 4} | predictor
    return Observed(Key("default", HOST), make.config(), make.host(**fields), models=models)


def carried_out(seen: Observed, todo: Plan) -> Observed:
    return world.agents_follow(world.carry_out(seen, todo))


def settled(seen: Observed, now: datetime = make.NOW) -> Observed:
    for _ in range(6):
        seen = carried_out(seen, plan(seen, now))
    return seen


def of_kind(seen: Observed, kind: str) -> list[str]:
    return sorted(each.name for each in seen.children if each.kind == kind and each.name != names.router(HOST))


def placed(seen: Observed) -> dict[str, set[str]]:
    maps = {name: seen.child("ConfigMap", name) for name in of_kind(seen, "ConfigMap")}
    return {name: {each.model_name for each in modelconfig.parse(text_of(m) or "")} for name, m in maps.items() if m}


def test_heterogeneous_host_has_a_deployment_and_a_config_map_for_each_shard() -> None:
    after = carried_out(observed(minReplicas=2), plan(observed(minReplicas=2), make.NOW))
    assert of_kind(after, "Deployment") == [f"{HOST}-predictor-s0", f"{HOST}-predictor-s1"]
    assert of_kind(after, "ConfigMap") == [f"modelconfig-{HOST}-0", f"modelconfig-{HOST}-1"]
    assert of_kind(after, "PodDisruptionBudget") == [f"{HOST}-predictor"]
    assert of_kind(after, "HorizontalPodAutoscaler") == []
    manifest = after.children[Child("Deployment", f"{HOST}-predictor-s1")]
    assert manifest["spec"]["replicas"] == 1
    assert manifest["spec"]["selector"]["matchLabels"] == names.shard_selector(HOST, 1)
    template = manifest["spec"]["template"]
    assert template["metadata"]["labels"][names.SHARD_LABEL] == "1"
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "models-config"]
    assert volume["configMap"]["name"] == f"modelconfig-{HOST}-1"


def test_single_shard_has_no_disruption_budget() -> None:
    assert of_kind(settled(observed()), "PodDisruptionBudget") == []


def test_heterogeneous_host_opens_shards_for_its_models_and_settles() -> None:
    models = [make.model(f"m{number}", memory="1Gi") for number in range(5)]
    after = settled(observed(*models))
    assert sorted(len(each) for each in placed(after).values()) == [1, 2, 2]
    assert plan(after, make.NOW).empty
    assert after.host is not None
    assert after.host.status.models == "5/5"
    assert {each.type: each.status for each in after.host.status.conditions}["PredictorReady"] == "True"


def test_heterogeneous_host_writes_only_the_shard_that_changes() -> None:
    models = [make.model(f"m{number}", memory="1Gi") for number in range(5)]
    after = settled(observed(*models))
    todo = plan(replace(after, models=(*after.models, make.model("new", memory="1Gi"))), make.NOW)
    assert len(todo.configs) == 1
    assert "new" in (text_of(todo.configs[0].manifest) or "")


def test_changed_template_reaches_a_quarter_of_the_shards_at_a_time() -> None:
    after = settled(observed(minReplicas=8, maxReplicas=8))
    changed = replace(after, config=make.config(rollout={"modelTimeout": "40m"}, agent={"image": "other:1"}))
    todo = plan(changed, make.NOW)
    deployments = [each.manifest["metadata"]["name"] for each in todo.applies if each.manifest["kind"] == "Deployment"]
    assert deployments == [f"{HOST}-predictor-s0", f"{HOST}-predictor-s1"]
    began = world.carry_out(changed, todo)
    unavailable = {child: each for child, each in began.children.items() if child.name in deployments}
    for each in unavailable.values():
        each["status"] |= {"availableReplicas": 0}
    assert [each for each in plan(began, make.NOW).applies if each.manifest["kind"] == "Deployment"] == []
    for _ in range(4):
        changed = carried_out(changed, plan(changed, make.NOW))
    revisions = {
        each["metadata"]["annotations"][names.REVISION]
        for c, each in changed.children.items()
        if c.kind == "Deployment" and c.name != names.router(HOST)
    }
    assert revisions == {"2"}


def test_shard_without_models_is_noted_drained_and_removed() -> None:
    models = [make.model(f"m{number}", memory="1Gi") for number in range(3)]
    both = settled(observed(*models))
    assert len(of_kind(both, "Deployment")) == 2
    fewer = settled(replace(both, models=both.models[:1]))
    assert len(of_kind(fewer, "Deployment")) == 2, "it is noted only"
    assert plan(fewer, make.NOW).empty
    assert plan(fewer, make.NOW).requeue_after == DRAIN_DELAY
    notes = [
        m["metadata"]["annotations"].get(names.DRAINABLE_SINCE)
        for c, m in fewer.children.items()
        if c.kind == "ConfigMap"
    ]
    assert sorted(filter(None, notes)) == ["2026-01-01T00:00:00Z"]
    first = plan(fewer, LATER)
    gone = [(each.child.kind, each.reason) for each in first.deletes if each.child.kind != "PodDisruptionBudget"]
    assert gone == [("Deployment", "the shard is drained")]
    second = plan(carried_out(fewer, first), LATER)
    assert [each.child.kind for each in second.deletes] == ["ConfigMap"]
    after = settled(fewer, LATER)
    assert len(of_kind(after, "ConfigMap")) == len(of_kind(after, "Deployment")) == 1
    assert sum(map(len, placed(after).values())) == 1
    assert plan(after, LATER).empty


def test_drain_moves_models_before_their_shard_goes() -> None:
    models = [make.model("a", memory="1Gi"), make.model("b", memory="1Gi"), make.model("c", memory="256Mi")]
    both = settled(observed(*models))
    left = settled(replace(both, models=tuple(each for each in both.models if each.metadata.name != "b")))
    assert sorted(map(sorted, placed(left).values())) == [["a"], ["c"]]
    after = settled(left, LATER)
    assert list(map(sorted, placed(after).values())) == [["a", "c"]]
    assert plan(after, LATER).empty


def test_drain_note_ends_when_the_models_fit_no_longer() -> None:
    models = [make.model(f"m{number}", memory="1Gi") for number in range(3)]
    fewer = settled(replace(settled(observed(*models)), models=tuple(models[:1])))
    full = settled(replace(fewer, models=tuple(models)))
    notes = [
        m["metadata"]["annotations"].get(names.DRAINABLE_SINCE)
        for c, m in full.children.items()
        if c.kind == "ConfigMap" and c.name != names.router(HOST)
    ]
    assert notes == [None, None]


def test_homogeneous_host_that_becomes_heterogeneous_keeps_its_models_and_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS,))
    before = world.settle(observed(make.model("a"), allocation=None, maxReplicas=None))
    assert before.host is not None
    changed = make.host(allocation=HETEROGENEOUS).model_copy(update={"status": before.host.status})
    todo = plan(replace(before, host=changed), make.NOW)
    assert (todo.applies, todo.deletes, todo.configs) == ((), (), ())
    (status,) = [each.after for each in todo.statuses if each.kind == "InferenceService"]
    conditions = {each.type: (each.status, each.reason) for each in status.conditions}
    assert conditions["PredictorReady"] == ("True", "InvalidSpec")
