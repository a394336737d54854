"""Cache of the statuses of settled models: a plan with it equals a plan without it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.plan.actions import Plan, SetStatus
from manyserve.plan.observed import Child, ClaimRefusal, Observed
from manyserve.plan.plan import plan
from manyserve.plan.status.cache import STATUS_CACHE, StatusCache
from manyserve.plan.status.model import model_status
from manyserve.plan.storage.claims import MAX_CLAIMS
from tests.fuzz import snapshots
from tests.fuzz.profile import tried
from tests.support import make, world

CLAIM = {"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}
SAME_NAME = {"ingressDomain": "example.com", "domainTemplate": "all.{{ .IngressDomain }}"}
SKLEARN = {"image": "example/tritonserver", "supportedFrameworks": ["sklearn"], "multiModelServer": True}
FIELDS = (
    "config",
    "same_hostname",
    "models",
    "unparsable",
    "children",
    "pods",
    "agents",
    "failures",
    "claims",
    "refused_claims",
    "unverified_claims",
)


@given(snapshots.fresh(), snapshots.fresh(), st.sets(st.sampled_from(FIELDS), min_size=1, max_size=3))
@tried(150)
def test_status_cache_leaves_each_plan_as_it_is(before: Observed, other: Observed, fields: set[str]) -> None:
    settled = world.settle(before)
    after = replace(settled, **{field: getattr(other, field) for field in fields})
    plan(settled, make.NOW)
    cached = plan(after, make.NOW)
    STATUS_CACHE.drop(after.key)
    assert cached == plan(after, make.NOW)


def updates(todo: Plan) -> list[SetStatus]:
    return [each for each in todo.statuses if each.kind == "TrainedModel"]


def settled_host(*models: str) -> Observed:
    start = Observed(
        key=Key("default", "triton-mms"),
        config=make.config(ingress=SAME_NAME),
        host=make.host(),
        models=tuple(make.model(name, memory="1Mi", uri=f"pvc://shared/{name}") for name in models),
        pods=tuple(pod | {"spec": {"volumes": [CLAIM]}} for pod in (make.pod(), make.pod("pod-2"))),
        claims={"shared": None},
    )
    return world.settle(start)


def changed(settled: Observed, number: int) -> Observed:
    """Return the snapshot with one change that the statuses of all placed models depend on."""
    pods, report = settled.pods, next(iter(settled.agents.values()))
    older = make.host_object("older") | {"spec": {"predictor": {"triton": {}}}}
    older["metadata"] |= {"namespace": "a", "uid": "a"}
    changes: tuple[dict[str, Any], ...] = (
        {"pods": tuple(make.pod(pod["metadata"]["name"], ready=False) for pod in pods)},
        {"pods": (*pods[:-1], make.pod(pods[-1]["metadata"]["name"], ready=False))},
        {"pods": ()},
        {"pods": (*pods, make.pod("pod-3"))},
        {"agents": {}},
        {"agents": dict.fromkeys(settled.agents, report.model_copy(update={"server_ready": False}))},
        {"agents": dict.fromkeys(settled.agents, report.model_copy(update={"models": {}}))},
        {"agents": dict.fromkeys(settled.agents, report.model_copy(update={"models": {}, "config_error": "cut off"}))},
        {"config": make.config(multi_model=False)},
        {"config": make.config(ingress={"ingressDomain": "example.org"})},
        {"config": make.config(ingress=SAME_NAME, predictors={"triton": SKLEARN})},
        {"same_hostname": (InferenceService.from_wire(older),)},
        {"host": make.host(memory="2Mi").model_copy(update={"status": settled.host.status if settled.host else None})},
        {"refused_claims": {"shared": ClaimRefusal("it is not shared")}},
        {"host": None},
    )
    return replace(settled, **changes[number])


def test_status_cache_computes_only_the_statuses_of_changed_models() -> None:
    settled = settled_host("a", "b", "c")
    plan(settled, make.NOW)
    larger = replace(settled, models=(*settled.models, make.model("d", memory="1Mi")))
    with patch("manyserve.plan.status.cache.model_status", wraps=model_status) as computed:
        plan(larger, make.NOW)
    assert [call.args[0].metadata.name for call in computed.call_args_list] == ["d"]


@pytest.mark.parametrize("number", range(15))
def test_status_cache_follows_each_input(number: int) -> None:
    settled = settled_host("a", "b", "c")
    assert not updates(plan(settled, make.NOW))
    after = changed(settled, number)
    cached = plan(after, make.NOW)
    STATUS_CACHE.drop(after.key)
    assert updates(cached), "the change has a consequence"
    assert cached == plan(after, make.NOW)
    assert not updates(plan(settled, make.NOW)), "the stored statuses are right again"


def waiting_host() -> Observed:
    """Return a settled host with a model that waits until its pods mount a claim."""
    loaded = replace(settled_host("a"), pods=(make.pod(),), agents={"uid-pod-1": make.report()})
    waiting = world.carry_out(loaded, plan(loaded, make.NOW))
    assert not updates(plan(waiting, make.NOW))
    return waiting


def mounting(settled: Observed, *claims: str) -> Observed:
    """Return the snapshot with a Deployment that mounts these claims, and nothing else changed."""
    child = Child("Deployment", "triton-mms-predictor-default")
    deployment = deepcopy(settled.children[child])
    deployment["spec"]["template"]["spec"]["volumes"] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims
    ]
    return replace(settled, children={**settled.children, child: deployment})


def test_status_cache_follows_the_claims_of_the_deployment() -> None:
    full = mounting(waiting := waiting_host(), *(f"claim-{number}" for number in range(MAX_CLAIMS)))
    (write,) = updates(plan(full, make.NOW))
    assert f"the host's pods mount {MAX_CLAIMS} PersistentVolumeClaims" in str(write.patch)
    cached = plan(full, make.NOW)
    STATUS_CACHE.drop(full.key)
    assert cached == plan(full, make.NOW)
    assert not updates(plan(waiting, make.NOW)), "the stored status is right again"


def test_status_cache_drops_a_host_that_is_gone_and_evicts_the_oldest() -> None:
    settled = settled_host("a")
    plan(settled, make.NOW)
    assert settled.key in STATUS_CACHE
    plan(replace(settled, host=None), make.NOW)
    assert settled.key not in STATUS_CACHE

    small = StatusCache(max_hosts=1)
    with patch("manyserve.plan.plan.STATUS_CACHE", small):
        for name in ("one", "two"):
            plan(replace(settled, key=Key("default", name)), make.NOW)
    assert list(small) == [Key("default", "two")]
