"""Cache of the statuses of models with copies: it follows each input, and a change of one shard leaves the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.agentreport import ModelState
from manyserve.plan.actions import Plan, SetStatus
from manyserve.plan.observed import ClaimRefusal, Observed
from manyserve.plan.plan import plan
from manyserve.plan.status.cache import STATUS_CACHE, StatusCache
from manyserve.plan.status.context import HostContext
from manyserve.plan.status.model import model_status
from tests.fuzz.profile import tried
from tests.support import make, sharded

Change = Callable[[Observed], Observed]


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    with sharded.served():
        yield


def start() -> Observed:
    """Return a settled host: `a` on s0 and s2, `b` on s1 and a claim. There is no memory for a further copy of `b`."""
    with sharded.served():
        models = (sharded.model("a", 2, maxReplicas=3), sharded.model("b", 1, "2Gi", uri="pvc://shared/b"))
        return replace(sharded.settled(*models, least=3, most=3), claims={"shared": None})


def updates(todo: Plan) -> list[SetStatus]:
    return [each for each in todo.statuses if each.kind == "TrainedModel"]


def _agent(observed: Observed, index: int, **fields: object) -> Observed:
    uid = f"uid-pod-s{index}"
    return replace(observed, agents={**observed.agents, uid: observed.agents[uid].model_copy(update=fields)})


def _silent(observed: Observed, index: int) -> Observed:
    return replace(observed, agents={uid: each for uid, each in observed.agents.items() if uid != f"uid-pod-s{index}"})


def _without_pod(observed: Observed, index: int) -> Observed:
    return replace(observed, pods=tuple(pod for pod in observed.pods if pod["metadata"]["name"] != f"pod-s{index}"))


CHANGES: dict[str, Change] = {
    "a copy fails": partial(sharded.on_shard, index=2, name="a", state=ModelState.LOAD_FAILED),
    "a copy has a note": partial(sharded.on_shard, index=0, name="a", state=ModelState.LOADED, message="stale"),
    "a pod is not ready": partial(sharded.with_pod, index=2, ready=False),
    "a pod is gone": partial(_without_pod, index=2),
    "an agent is silent": partial(_silent, index=2),
    "a server does not answer": partial(_agent, index=2, server_ready=False),
    "a list cannot be read": partial(_agent, index=2, models={}, config_error="cut off"),
    "routers lead to one model only": partial(sharded.with_routers, models=frozenset({"b"})),
    "no router is ready": lambda seen: replace(seen, router_pods=()),
    "a model needs more copies": lambda seen: sharded.changed(seen, sharded.model("a", 3)),
    "a model needs more copies than there is memory for": lambda seen: sharded.changed(
        seen, sharded.model("b", 2, "2Gi", uri="pvc://shared/b")
    ),
    "a model needs fewer copies": lambda seen: sharded.changed(seen, sharded.model("a", 1)),
    "a model grows": lambda seen: sharded.changed(seen, sharded.model("a", 2, "3Gi")),
    "a claim is refused": lambda seen: replace(seen, refused_claims={"shared": ClaimRefusal("it is not shared")}),
    "the host is not multi-model": lambda seen: replace(seen, config=make.config(multi_model=False)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_status_cache_follows_each_input_of_copies(change: str) -> None:
    settled = start()
    assert not updates(plan(settled, make.NOW))
    after = CHANGES[change](settled)
    cached = plan(after, make.NOW)
    STATUS_CACHE.drop(after.key)
    assert updates(cached), "the change has a consequence"
    assert cached == plan(after, make.NOW)
    assert not updates(plan(settled, make.NOW)), "the stored statuses are right again"


@given(st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=4))
@tried(60)
def test_status_cache_leaves_each_plan_of_copies_as_it_is(names: list[str]) -> None:
    observed = start()
    plan(observed, make.NOW)
    for name in names:
        try:
            observed = CHANGES[name](observed)
        except KeyError:  # an earlier change took the agent away
            continue
        cached = plan(observed, make.NOW)
        STATUS_CACHE.drop(observed.key)
        assert cached == plan(observed, make.NOW)


def test_status_cache_computes_only_the_models_of_a_shard_that_changes() -> None:
    settled = start()
    plan(settled, make.NOW)
    with patch("manyserve.plan.status.cache.model_status", wraps=model_status) as computed:
        plan(sharded.with_pod(settled, 2, ready=False), make.NOW)
    assert [call.args[0].metadata.name for call in computed.call_args_list] == ["a"]


def context_of(observed: Observed) -> HostContext:
    """Return the context of the statuses in a plan."""
    with patch("manyserve.plan.plan.STATUS_CACHE") as spy:
        spy.statuses.return_value = []
        plan(observed, make.NOW)
    context: HostContext = spy.statuses.call_args.args[0]
    return context


def written(cache: StatusCache, context: HostContext) -> list[str]:
    """Return the models of which the status changes."""
    pairs = cache.statuses(context, make.NOW)
    return [model.metadata.name for model, status in pairs if status is not model.status]


def test_status_cache_follows_the_models_that_routers_lead_to() -> None:
    context, cache = context_of(start()), StatusCache()
    for led, names in ((None, []), (frozenset({"a", "b"}), []), (frozenset({"a"}), ["b"]), (frozenset(), ["a", "b"])):
        assert written(cache, replace(context, led=led)) == names


def test_status_cache_follows_each_part_of_the_placement() -> None:
    context, cache = context_of(start()), StatusCache()
    placement = context.placement
    for changed in (
        replace(placement, copies={**placement.copies, "b": 2}),
        replace(placement, waiting_copies={"b": "there is no memory"}),
        replace(placement, shards={**placement.shards, 7: {"b": placement.shards[1]["b"]}}),
    ):
        assert written(cache, context) == []
        assert written(cache, replace(context, placement=changed)) == ["b"]
