"""What children must be is not worked out again while nothing that it depends on is another object."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from manyserve.api import names
from manyserve.plan.children.cache import Children, ChildrenCache, children
from manyserve.plan.observed import Account, Child, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.storage.mounts import sources_of
from tests.plan.test_plan import KEY, seen
from tests.support import make, world

DEPLOYMENT = Child("Deployment", names.deployment(KEY.name))
SERVICE = Child("Service", KEY.name)
Change = Callable[[Observed], Observed]


def of(memory: ChildrenCache, observed: Observed) -> Children:
    assert observed.host
    return memory.of(observed.host, observed, sources_of(observed, Placement()))


def afresh(observed: Observed) -> Children:
    assert observed.host
    return children(observed.host, observed, sources_of(observed, Placement()))


@pytest.fixture
def settled() -> Observed:
    return world.settle(seen(make.model("cifar10")))


def test_they_are_the_same_while_nothing_but_models_and_their_list_changes(settled: Observed) -> None:
    memory = ChildrenCache()
    first = of(memory, settled)
    assert first == afresh(settled)
    assert not first.applies
    config_map = Child("ConfigMap", names.model_config(KEY.name))
    later = replace(settled, models=(), children={**settled.children, config_map: {}})
    assert of(memory, later) is first


def scaled(observed: Observed) -> Observed:
    return replace(observed, host=make.host(minReplicas=3))


def of_another_domain(observed: Observed) -> Observed:
    ingress = observed.config.ingress.model_copy(update={"ingress_domain": "other.example"})
    return replace(observed, config=observed.config.model_copy(update={"ingress": ingress}))


def touched_by_somebody(observed: Observed) -> Observed:
    manifest = deepcopy(observed.children[SERVICE])
    manifest["spec"]["selector"] = {"app": "theirs"}
    return replace(observed, children={**observed.children, SERVICE: manifest})


def without_a_deployment(observed: Observed) -> Observed:
    return replace(observed, children={key: each for key, each in observed.children.items() if key != DEPLOYMENT})


def with_a_child_more(observed: Observed) -> Observed:
    route = deepcopy(observed.children[SERVICE]) | {"kind": "HTTPRoute"}
    return replace(observed, children={**observed.children, Child("HTTPRoute", KEY.name): route})


def with_a_secret(observed: Observed) -> Observed:
    return replace(observed, account=Account("default", secrets=("s3",)))


def pending(observed: Observed) -> Observed:
    return replace(observed, lookups_pending=True)


def refused(observed: Observed) -> Observed:
    return replace(observed, failures={DEPLOYMENT: "it is forbidden"})


@pytest.mark.parametrize(
    "change",
    [
        scaled,
        of_another_domain,
        touched_by_somebody,
        without_a_deployment,
        with_a_child_more,
        with_a_secret,
        pending,
        refused,
    ],
)
def test_whatever_they_depend_on_is_seen_to_change(settled: Observed, change: Change) -> None:
    memory = ChildrenCache()
    before, other = of(memory, settled), change(settled)
    assert of(memory, other) == afresh(other) != before
    assert of(memory, settled) == before


def test_what_is_to_be_done_is_remembered_of_no_host(settled: Observed) -> None:
    memory, bare = ChildrenCache(), replace(settled, children={})
    assert of(memory, bare).applies
    assert not memory._stood


def test_so_many_hosts_are_remembered_and_the_last_ones(settled: Observed) -> None:
    memory, keys = ChildrenCache(most=2), [KEY._replace(name=f"{number}") for number in range(3)]
    of(memory, settled)
    stood = memory._stood.pop(KEY)
    for key in keys:
        memory._keep(key, *stood)
    assert list(memory._stood) == keys[1:]
