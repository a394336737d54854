"""Plans of heterogeneous hosts with any reports and pods: a model with an answering copy is Ready."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions
from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.observed import Observed, Scaling
from manyserve.plan.plan import plan
from manyserve.plan.sharding.scaling import Decision
from manyserve.plan.sharding.shard import shard_indices
from manyserve.plan.status.events import PROGRESS
from tests.fuzz.profile import tried
from tests.support import make, sharded, world

NAMES = ("a", "b", "c")
LOADS = st.dictionaries(st.integers(0, 3), st.integers(0, 9000))
STATES = st.sampled_from([ModelState.LOADED, *ModelState])


@cache
def start() -> Observed:
    """Return a settled host with models of one, two and three copies."""
    models = (sharded.model(name, copies, "512Mi", maxReplicas=3) for copies, name in enumerate(NAMES, 1))
    return sharded.settled(*models, least=3, most=4)


@st.composite
def reports(draw: st.DrawFn, before: AgentReport) -> AgentReport:
    """Draw another report of a pod, with any state of its models."""
    models = {
        name: ModelReport(
            state=draw(STATES), digest=each.digest, serving=draw(st.booleans()), routed=draw(st.booleans())
        )
        for name, each in before.models.items()
        if draw(st.integers(0, 5))
    }
    return before.model_copy(update={"models": models, "server_ready": bool(draw(st.integers(0, 4)))})


@st.composite
def snapshots(draw: st.DrawFn) -> Observed:
    """Draw a snapshot of the host: its reports, ready pods, and the copies that its models need."""
    with sharded.served():
        observed = start()
    agents = {uid: draw(reports(each)) for uid, each in observed.agents.items() if draw(st.integers(0, 5))}
    observed = replace(observed, agents=agents)
    for index in range(3):
        observed = sharded.with_pod(observed, index, ready=bool(draw(st.integers(0, 3))))
    led = st.just(frozenset(NAMES)) | st.frozensets(st.sampled_from(NAMES))
    routers = {uid: each.model_copy(update={"models": draw(led)}) for uid, each in observed.router_reports.items()}
    observed = replace(observed, router_reports=routers)
    numbers = st.builds(Decision, st.integers(1, 3), st.integers(0, 5000))
    decisions = draw(st.dictionaries(st.sampled_from(NAMES), numbers))
    return replace(observed, scaling=Scaling(decisions, draw(LOADS)))


def is_ready(model: TrainedModel) -> bool:
    condition = conditions.find(model.status.conditions, conditions.READY)
    return condition is not None and condition.status == "True"


@given(snapshots())
@tried(150)
def test_model_is_ready_exactly_while_routers_lead_to_a_copy_that_answers(observed: Observed) -> None:
    with sharded.served():
        after = world.carry_out(observed, plan(observed, make.NOW))
    for model in after.models:
        name, shards = model.metadata.name, shard_indices(model.status.shards or "")
        loaded = {
            replica.shard
            for replica in observed.replicas
            if replica.ready and replica.report is not None and replica.report.server_ready
            for each, report in replica.report.models.items()
            if each == name and report.state is ModelState.LOADED
        }
        assert is_ready(model) == bool(loaded & shards and name in observed.led_by_all)
        assert model.status.loaded_replicas == len(loaded & shards)
        assert model.status.loaded == f"{model.status.loaded_replicas}/{model.status.replicas}"


@given(snapshots(), LOADS)
@tried(100)
def test_plan_of_copies_sends_at_most_one_event_of_a_reason_and_settles(
    observed: Observed, loads: dict[int, int]
) -> None:
    with sharded.served():
        todo = plan(observed, make.NOW)
        events = [(each.name, each.reason) for each in todo.events]
        assert len(events) == len(set(events))
        assert not {reason for _, reason in events} & {*PROGRESS}
        after = world.settle(world.settle(replace(world.carry_out(observed, todo), scaling=observed.scaling)))
        assert plan(after, make.NOW).empty
        others = Scaling(observed.scaling.decisions, loads)
        assert plan(replace(after, scaling=others), make.NOW).empty, "a load moves nothing"
    for model in after.models:
        loaded, wanted = model.status.loaded_replicas, model.status.replicas
        assert loaded == wanted
        assert is_ready(model)
