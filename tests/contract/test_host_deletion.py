"""Deletion of a host: its models are deleted after the grace period, while the garbage collector runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.client import EVERYTHING, KubeClient, Listing, ListOptions
from manyserve.cluster.kinds import Kind
from manyserve.operator import metrics
from manyserve.plan.departure import BURST_PERIOD, DELETIONS_PER_PLAN, GRACE_PERIOD
from tests.contract.restore import GROUP, MODELS, RestoreEnv, place, placed, restore_env_on
from tests.contract.stage import HOST
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.control_plane import control_plane
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Manifest, Refused, condition


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """An API server on which a test may delete CRDs."""
    with control_plane() as server:
        yield server


def waiting(hosts: Iterable[str]) -> list[str]:
    """Return the models that were never placed: they outlive their hosts."""
    return [f"{each}-waits" for each in hosts]


async def delete(env: RestoreEnv, host: str, *words: str) -> None:
    await env.do("delete", "isvc", host, *words)


async def recreate(env: RestoreEnv, host: str) -> None:
    await env.do("replace", "--force", "-f", "-", text=json.dumps(env.kubectl.here(make.host_object(host))))


async def hold(env: RestoreEnv, host: str, *finalizers: str) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers or None}})
    await env.do("patch", "isvc", host, "--type=merge", "-p", patch)


async def test_host_deletion_deletes_models_after_the_grace_period_unless_orphaned_or_recreated(
    env: RestoreEnv,
) -> None:
    hosts = ("background", "foreground", "held", "orphaned", HOST)
    async with env.operator():
        await place(env, *hosts)
        before = {each["metadata"]["name"]: each["metadata"]["uid"] for each in env.kubectl.list("tm")}
        await hold(env, "held", "example.com/held")
        await delete(env, "held", "--wait=false")
        await delete(env, "orphaned", "--cascade=orphan")
        await recreate(env, HOST)
        await delete(env, "foreground", "--cascade=foreground")
        await delete(env, "background")
        await asyncio.sleep(GRACE_PERIOD - 2)
        assert {"background", "foreground"} <= set(env.models()), "not before the grace period is over"
        left = sorted([*waiting(hosts), "held", "orphaned", HOST])
        await eventually_in_thread(lambda: env.models() == left, "the models of two hosts are deleted")
        await eventually_in_thread(lambda: env.ready() == [HOST], "the model of the host that was replaced is served")
        assert env.kubectl.get("tm", "orphaned")["status"].get("placedBy") is None
        assert condition(env.kubectl.get("tm", "orphaned"))["message"] == (
            f"waiting for InferenceService orphaned, which does not exist in namespace {env.kubectl.namespace}"
        )
        await hold(env, "held")
        await eventually_in_thread(lambda: "held" not in env.models(), "the model is deleted when its host is gone")
        assert {each["metadata"]["uid"] for each in env.kubectl.list("tm")} <= set(before.values())


async def test_host_deletion_during_a_downtime_deletes_models_after_the_grace_period(
    env: RestoreEnv,
) -> None:
    hosts = ("gone", "orphaned", "again")
    async with env.operator():
        await place(env, *hosts)
    await delete(env, "gone")
    await delete(env, "orphaned", "--cascade=orphan")
    await delete(env, "again")
    await asyncio.sleep(GRACE_PERIOD + 1)
    await env.do("apply", "-f", "-", text=json.dumps(env.kubectl.here(make.host_object("again"))))
    assert set(hosts) <= set(env.models()), "owner references delete nothing"
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with env.operator():
        await eventually_in_thread(lambda: "gone" not in env.models(), "the model is deleted")
        assert loop.time() - began > GRACE_PERIOD - 1
        await eventually_in_thread(
            lambda: placed(env) == ["again"], "a host that is there keeps its model, and so does an orphan"
        )
        assert env.models() == sorted([*waiting(hosts), "orphaned", "again"])


async def test_host_deletion_outside_the_scope_is_the_only_loss_of_a_namespace_that_returns(
    env: RestoreEnv,
) -> None:
    async with env.operator():
        await env.set_up()
    async with env.operator(env.configured_in):
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert env.models() == sorted(MODELS)
    async with env.operator():
        await asyncio.sleep(GRACE_PERIOD + 1)
        await env.served(*MODELS)
    async with env.operator(env.configured_in):
        await env.do("delete", "isvc", HOST)
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert env.models() == sorted(MODELS), "out of scope nothing is deleted"
    async with env.operator():
        await eventually_in_thread(lambda: env.models() == [], "in scope again, and the host is truly gone")


class WithoutHosts(KubeClient):
    """A client that receives no InferenceService from lists and watches, as from a stale API server."""

    async def pages(self, kind: Kind, selection: ListOptions = EVERYTHING) -> AsyncGenerator[Listing, None]:
        async for page in super().pages(kind, selection):
            yield Listing([], page.resource_version) if kind is kinds.INFERENCE_SERVICE else page

    async def watch(self, kind: Kind, *rest: Any, **more: Any) -> AsyncGenerator[Manifest, None]:
        async for event in super().watch(kind, *rest, **more):
            if kind is not kinds.INFERENCE_SERVICE or event["type"] == "BOOKMARK":
                yield event


async def test_host_missing_in_the_cache_deletes_nothing(env: RestoreEnv, caplog: pytest.LogCaptureFixture) -> None:
    async with env.operator():
        await env.set_up()
    real, env.client = env.client, WithoutHosts(env.client._config)
    async with env.client, env.operator():
        await eventually_in_thread(
            lambda: "are not deleted: the API server has it" in caplog.text, "the API server is asked"
        )
        await asyncio.sleep(2)
        assert env.models() == sorted(MODELS)
    env.client = real
    async with env.operator():
        await env.served(*MODELS)


@pytest.mark.parametrize("missing_for", [0.0, GRACE_PERIOD + 1], ids=["a moment", "longer than the grace period"])
async def test_crd_deletion_of_hosts_keeps_all_models(
    own: Cluster, missing_for: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with restore_env_on(own) as env, env.operator():
        await env.set_up()
        crd = f"crd/inferenceservices.{GROUP}"
        manifest = json.loads(await env.do("get", crd, "-o", "json"))
        await env.do("delete", crd)
        await asyncio.sleep(missing_for)
        assert env.models() == sorted(MODELS)
        bare = {"name": manifest["metadata"]["name"], "labels": manifest["metadata"].get("labels", {})}
        await env.do("create", "-f", "-", text=json.dumps(manifest | {"metadata": bare, "status": None}))
        await eventually_in_thread(lambda: serves_hosts(env), "the kind is served again")
        await asyncio.sleep(GRACE_PERIOD + 3)
        assert env.models() == sorted(MODELS), "no user deleted them, nor their host"
        assert "stay: the CRD of inferenceservices is missing or being deleted" in caplog.text


def serves_hosts(env: RestoreEnv) -> bool:
    """Return whether the API server serves InferenceServices; there are none."""
    try:
        return env.kubectl.list("isvc") == []
    except Refused:
        return False


async def test_host_deletion_limits_and_counts_a_burst_of_models(env: RestoreEnv, client: KubeClient) -> None:
    count = 3 * DELETIONS_PER_PLAN
    before = metrics.MODELS_DELETED._value.get()
    async with env.operator(), recording(client, env.kubectl.namespace) as recorder:
        await env.set_up(*(f"m-{number:03d}" for number in range(count)))
        await env.do("delete", "isvc", HOST)
        await eventually_in_thread(lambda: len(deletion_times(recorder)) == count, "all are deleted", 60)
    assert metrics.MODELS_DELETED._value.get() - before == count
    times = deletion_times(recorder)
    first_of_next = times[DELETIONS_PER_PLAN::DELETIONS_PER_PLAN]
    assert all(later - first > BURST_PERIOD / 2 for first, later in zip(times, first_of_next, strict=False))
    assert times[-1] - times[0] > BURST_PERIOD


def deletion_times(recorder: HistoryRecorder) -> list[float]:
    """Return the time of each model's deletion."""
    kind = kinds.TRAINED_MODEL.name
    return sorted(each.at for each in recorder.history if each.kind == kind and each.gone)
