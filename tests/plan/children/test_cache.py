"""Cache of the children of a host: a result stays valid while each input is the same object."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from manyserve.api import names
from manyserve.plan.children.cache import Children, ChildrenCache, ShardSet, children
from manyserve.plan.observed import Account, Child, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.storage.mounts import sources_of
from tests.plan.test_plan import KEY, seen
from tests.support import make, world

DEPLOYMENT = Child("Deployment", names.deployment(KEY.name))
SERVICE = Child("Service", KEY.name)
Change = Callable[[Observed], Observed]


def from_cache(cache: ChildrenCache, observed: Observed) -> Children:
    assert observed.host
    return cache.of(observed.host, observed, sources_of(observed, Placement()), ShardSet(), make.NOW)


def computed(observed: Observed) -> Children:
    assert observed.host
    return children(observed.host, observed, sources_of(observed, Placement()), ShardSet(), make.NOW)


@pytest.fixture
def settled() -> Observed:
    return world.settle(seen(make.model("cifar10")))


def test_cache_hits_when_only_models_and_the_config_map_change(settled: Observed) -> None:
    cache = ChildrenCache()
    first = from_cache(cache, settled)
    assert first == computed(settled)
    assert not first.applies
    config_map = Child("ConfigMap", names.model_config(KEY.name))
    later = replace(settled, models=(), children={**settled.children, config_map: {}})
    assert from_cache(cache, later) is first


def scaled(observed: Observed) -> Observed:
    return replace(observed, host=make.host(minReplicas=3))


def with_other_domain(observed: Observed) -> Observed:
    ingress = observed.config.ingress.model_copy(update={"ingress_domain": "other.example"})
    return replace(observed, config=observed.config.model_copy(update={"ingress": ingress}))


def with_foreign_selector(observed: Observed) -> Observed:
    manifest = deepcopy(observed.children[SERVICE])
    manifest["spec"]["selector"] = {"app": "theirs"}
    return replace(observed, children={**observed.children, SERVICE: manifest})


def without_deployment(observed: Observed) -> Observed:
    return replace(
        observed, children={child: manifest for child, manifest in observed.children.items() if child != DEPLOYMENT}
    )


def with_http_route(observed: Observed) -> Observed:
    route = deepcopy(observed.children[SERVICE]) | {"kind": "HTTPRoute"}
    return replace(observed, children={**observed.children, Child("HTTPRoute", KEY.name): route})


def with_secret(observed: Observed) -> Observed:
    return replace(observed, account=Account("default", secrets=("s3",)))


def with_older_host(observed: Observed) -> Observed:
    other = make.host("other")
    older = other.model_copy(update={"metadata": other.metadata.model_copy(update={"uid": ""})})
    return replace(observed, same_hostname=(older,))


def pending(observed: Observed) -> Observed:
    return replace(observed, lookups_pending=True)


def refused(observed: Observed) -> Observed:
    return replace(observed, failures={DEPLOYMENT: "it is forbidden"})


@pytest.mark.parametrize(
    "change",
    [
        scaled,
        with_other_domain,
        with_foreign_selector,
        without_deployment,
        with_http_route,
        with_secret,
        with_older_host,
        pending,
        refused,
    ],
)
def test_cache_misses_when_an_input_changes(settled: Observed, change: Change) -> None:
    cache = ChildrenCache()
    before, other = from_cache(cache, settled), change(settled)
    assert from_cache(cache, other) == computed(other) != before
    assert from_cache(cache, settled) == before


def test_cache_skips_a_host_with_pending_writes(settled: Observed) -> None:
    cache, bare = ChildrenCache(), replace(settled, children={})
    assert from_cache(cache, bare).applies
    assert list(cache) == []


def test_cache_evicts_the_oldest_hosts_above_its_limit(settled: Observed) -> None:
    cache, keys = ChildrenCache(max_hosts=2), [KEY._replace(name=f"{number}") for number in range(3)]
    from_cache(cache, settled)
    entry = cache.get(KEY)
    assert entry
    cache.drop(KEY)
    for key in keys:
        cache.put(key, entry)
    assert list(cache) == keys[1:]
