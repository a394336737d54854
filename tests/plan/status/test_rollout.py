"""Sentence of a host about a new pod that waits for a model that fails there."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.conditions import Condition
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.status.rollout import MODEL_FAILS
from tests.plan.test_plan import seen
from tests.support import make, world

ENTRIES = [entry_of(make.model(name)) for name in ("cifar10", "simple-string")]
SENTENCE = "pod new waits for model cifar10 for at most 30m: it answers on other pods and fails here: no memory"


def rolling(failing: int = 1, **fields: object) -> Observed:
    """Return a host with a ready pod that has both models, and a new one on which the first ones fail."""
    models = (make.model(), make.model("simple-string"))
    settled = world.settle(seen(*models))
    config = settled.agents["uid-pod-1"].config
    failed = {"state": ModelState.LOAD_FAILED, "message": "no memory", "attempt": 1, **fields}
    report = make.report(*ENTRIES[:failing], config=config, **failed)  # type: ignore[arg-type]
    report = report.model_copy(update={"settled": False})
    pods = (*settled.pods, make.pod("new", ready=False))
    return replace(settled, pods=pods, agents={**settled.agents, "uid-new": report})


def host_condition(observed: Observed, kind: str = conditions.READY) -> Condition:
    after = world.carry_out(observed, plan(observed, make.NOW)).host
    assert after
    condition = conditions.find(after.status.conditions, kind)
    assert condition
    return condition


def test_host_names_the_model_that_fails_on_a_new_pod_and_stays_ready() -> None:
    for kind in (conditions.READY, conditions.PREDICTOR_READY):
        condition = host_condition(rolling(), kind)
        assert (condition.status, condition.reason, condition.message) == ("True", MODEL_FAILS, SENTENCE)
    (event,) = plan(rolling(), make.NOW).events
    assert (event.kind, event.type, event.reason, event.message) == (
        "InferenceService",
        "Warning",
        MODEL_FAILS,
        SENTENCE,
    )


def test_host_counts_the_models_that_fail_on_a_new_pod() -> None:
    message = host_condition(rolling(failing=2)).message
    assert message == SENTENCE.replace("model cifar10", "2 models, such as cifar10")


def test_host_sentence_has_the_configured_timeout() -> None:
    short = replace(rolling(), config=make.config(rollout={"modelTimeout": "90s"}))
    assert "for at most 90s:" in (host_condition(short).message or "")


def test_host_status_is_not_written_again_for_another_attempt() -> None:
    named = world.carry_out(rolling(), plan(rolling(), make.NOW))
    again = rolling(attempt=2, next_try="2026-01-01T00:01:00Z").agents
    assert plan(replace(named, agents=again), make.NOW).empty


def test_host_sentence_ends_when_the_model_loads_or_the_pod_is_settled() -> None:
    named = world.carry_out(rolling(), plan(rolling(), make.NOW))
    assert host_condition(replace(named, agents=rolling(state=ModelState.LOADING).agents)).reason is None
    settled = named.agents["uid-new"].model_copy(update={"settled": True})
    assert host_condition(replace(named, agents={**named.agents, "uid-new": settled})).reason is None


def test_model_that_fails_on_a_new_pod_stays_ready_while_it_answers_on_all_ready_pods() -> None:
    after = world.carry_out(rolling(), plan(rolling(), make.NOW)).models[0]
    condition = conditions.find(after.status.conditions, conditions.READY)
    assert condition
    assert condition.status == "True"
