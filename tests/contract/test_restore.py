"""A restore loses no model, and a host that is deleted takes its models along: with the garbage collector at work."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.access import find_access
from manyserve.cluster.client import EVERYTHING, KubeHttp, Listing, Selection
from manyserve.cluster.kinds import Kind
from manyserve.operator import metrics
from manyserve.operator.operator import Operator
from manyserve.plan.departure import BURST_PERIOD, DELETIONS_PER_PLAN, GRACE_PERIOD
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure, running
from tests.faults.history import HistoryRecorder, recording
from tests.support import make
from tests.support.control_plane import control_plane, new_namespace
from tests.support.eventually import eventually_in_thread
from tests.support.figures import LONG, Figures, reports
from tests.support.kubectl import Kubectl, Manifest, Refused, condition
from tests.support.webhook import webhook_beside

MODELS = ("a", "b", "c", *(f"m-{number:02}" for number in range(27 if LONG else 0)))
GROUP = names.GROUP


@dataclass
class Site:
    """A user's namespace, and an operator that is configured in another one."""

    kubectl: Kubectl
    client: KubeHttp
    agent_port: int
    configured_in: str

    def operator(self, namespace: str | None = None) -> AbstractAsyncContextManager[Operator]:
        """Run the operator for the user's namespace, or for another one."""
        watched = namespace or self.kubectl.namespace
        return running(self.client, watched, self.agent_port, configured_in=self.configured_in)

    async def do(self, *words: str, text: str | None = None) -> str:
        """Run kubectl beside the operator."""
        return await asyncio.to_thread(self.kubectl, *words, text=text)

    async def set_up(self, *models: str) -> None:
        """Have a host with models that are served."""
        models = models or MODELS
        text = [make.host_object(memory="64Gi"), *(make.model_object(each, memory="1Mi") for each in models)]
        await self.do("apply", "-f", "-", text=yaml.safe_dump_all(map(self.kubectl.here, text)))
        await self.served(*models)

    async def served(self, *models: str) -> None:
        """Wait until these models, and no others, are Ready."""
        await eventually_in_thread(lambda: self.ready() == sorted(models), f"{len(models)} models are served", 60)

    def ready(self) -> list[str]:
        """Return the models that are Ready."""
        found = self.kubectl.list("tm")
        return sorted(each["metadata"]["name"] for each in found if condition(each).get("status") == "True")

    def models(self) -> list[str]:
        """Return the models that there are."""
        return sorted(each["metadata"]["name"] for each in self.kubectl.list("tm"))

    async def wipe(self) -> None:
        """Delete the namespace, and make it again."""
        await self.do("delete", "namespace", self.kubectl.namespace)
        await self.do("create", "namespace", self.kubectl.namespace)


@asynccontextmanager
async def site_on(server: Cluster) -> AsyncIterator[Site]:
    access = find_access({"KUBECONFIG": str(server.kubeconfig)})
    with new_namespace(server) as config, new_namespace(server) as users:
        await asyncio.to_thread(configure, config)
        async with KubeHttp(access) as client, kubelet(client, users.namespace, HOST) as (_, port):
            yield Site(users, client, port, config.namespace)


@pytest.fixture
async def site(api_server: Cluster) -> AsyncIterator[Site]:
    """A user's namespace; no operator runs yet."""
    async with site_on(api_server) as found:
        yield found


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """An API server on which a test may delete CRDs."""
    with control_plane() as server:
        yield server


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where the models that are served after each restore are recorded."""
    return reports(request.config)["unmanaged"]


def take(figures: Figures, site: Site, what: str) -> None:
    """Record the models that are served after a restore."""
    figures.take(f"models of {len(MODELS)} served after: {what}", len(site.ready()), "", exactly=len(MODELS))


@pytest.mark.parametrize("order", ["host first", "models first", "operator down"])
async def test_all_models_of_an_export_are_served_after_the_namespace_was_deleted(
    site: Site, figures: Figures, order: str
) -> None:
    async with AsyncExitStack() as operator:
        await operator.enter_async_context(site.operator())
        await site.set_up()
        backup = yaml.safe_load(await site.do("get", "isvc,tm", "-o", "yaml"))
        if order == "operator down":
            await operator.aclose()
        await site.wipe()
        hosts_first = sorted(backup["items"], key=lambda each: each["kind"])
        items = hosts_first if order != "models first" else hosts_first[::-1]
        await site.do("apply", "-f", "-", text=yaml.safe_dump_all(items))
        if order == "operator down":
            await asyncio.sleep(GRACE_PERIOD)  # the garbage collector has seen the models before the operator does
            await operator.enter_async_context(site.operator())
        await site.served(*MODELS)
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert site.ready() == sorted(MODELS), "and they stay"
        take(figures, site, f"export and apply, {order}")


async def test_a_backup_with_owner_references_is_refused_and_passes_after_the_command_in_the_refusal(
    site: Site, figures: Figures, api_server: Cluster, tmp_path: Path
) -> None:
    async with site.operator():
        await site.set_up()
    backup = yaml.safe_load(await site.do("get", "isvc,tm", "-o", "yaml"))
    uid = next(each for each in backup["items"] if each["kind"] == "InferenceService")["metadata"]["uid"]
    owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": HOST, "uid": uid}
    for each in backup["items"]:  # as earlier releases wrote it
        if each["kind"] == "TrainedModel":
            each["metadata"]["ownerReferences"] = [owner]
    (tmp_path / "backup.yaml").write_text(yaml.safe_dump(backup))
    await site.wipe()
    await asyncio.to_thread(configure, site.kubectl)
    async with site.operator(), webhook_beside(api_server.kubeconfig, site.kubectl, tmp_path):
        with pytest.raises(Refused) as refused:
            await site.do("apply", "-f", str(tmp_path / "backup.yaml"))
        assert str(refused.value).count("does not exist, and Kubernetes deletes an object") == len(MODELS)
        assert site.models() == []
        (command,) = set(re.findall(r"(kubectl patch --local .* -f -)", str(refused.value)))
        await asyncio.to_thread(run, command, tmp_path, site.kubectl)
        await site.served(*MODELS)
        take(figures, site, "an older backup, after the command of the refusal")


def run(command: str, folder: Path, kubectl: Kubectl) -> None:
    """Run a command in a shell, as a user who has copied it."""
    subprocess.run(command, shell=True, check=True, cwd=folder, env=kubectl.env)


def as_velero_restores_it(thing: Manifest) -> Manifest:
    """Return an object of a backup as Velero creates it: without owners, status and what the API server gives."""
    metadata = thing["metadata"]
    kept = {each: metadata[each] for each in ("name", "namespace", "labels", "annotations") if each in metadata}
    marks = {"velero.io/backup-name": "nightly", "velero.io/restore-name": "nightly-20260101000000"}
    bare = {each: value for each, value in thing.items() if each != "status"}
    if thing["kind"] == "Service":
        dropped = ("clusterIP", "clusterIPs")
        bare["spec"] = {each: value for each, value in thing["spec"].items() if each not in dropped}
    return bare | {"metadata": kept | {"labels": kept.get("labels", {}) | marks}}


async def test_all_models_are_served_after_a_restore_in_veleros_form(site: Site, figures: Figures) -> None:
    async with site.operator():
        await site.set_up()
        things: list[Manifest] = []
        for kind in ("configmap", "service", "deployment", "ingress", "isvc", "tm"):
            things += await asyncio.to_thread(site.kubectl.list, kind)
        mine = [each for each in things if each["metadata"]["name"] != "kube-root-ca.crt"]
        assert any(each["kind"] == "Deployment" for each in mine)
        await site.wipe()
        for each in map(as_velero_restores_it, mine):
            await site.do("create", "-f", "-", text=json.dumps(each))
            await asyncio.sleep(0.3)
        await site.served(*MODELS)
        await asyncio.sleep(GRACE_PERIOD + 1)
        take(figures, site, "Velero's form, children first")
        assert site.ready() == sorted(MODELS)
        uid = site.kubectl.get("isvc", HOST)["metadata"]["uid"]
        found = site.kubectl.list("configmap,service,deployment,ingress", "-l", names.MANAGED_BY)
        assert {owner["uid"] for each in found for owner in each["metadata"]["ownerReferences"]} == {uid}


async def test_models_that_are_restored_with_their_status_and_before_their_host_stay(
    site: Site, figures: Figures
) -> None:
    async with site.operator():
        await site.set_up()
        host, models = site.kubectl.get("isvc", HOST), site.kubectl.list("tm")
        await site.wipe()
        for each in models:
            name, status = each["metadata"]["name"], {"status": each["status"]}
            await site.do("create", "-f", "-", text=json.dumps(as_velero_restores_it(each)))
            await site.do("patch", "tm", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
        await asyncio.sleep(GRACE_PERIOD + 2)
        assert site.models() == sorted(MODELS)
        await site.do("create", "-f", "-", text=json.dumps(as_velero_restores_it(host)))
        await site.served(*MODELS)
        take(figures, site, "statuses restored too, models first")


async def test_argo_cd_manages_placed_models_since_they_have_no_owner(site: Site) -> None:
    async with site.operator():
        await site.set_up()
        owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": HOST}
        owner["uid"] = site.kubectl.get("isvc", HOST)["metadata"]["uid"]
        patch = {"metadata": {"ownerReferences": [owner]}}
        await site.do("patch", "tm", "a", "--type=merge", "-p", json.dumps(patch))
        await eventually_in_thread(
            lambda: not any("ownerReferences" in each["metadata"] for each in site.kubectl.list("tm")),
            "no model has an owner reference",
        )
        assert site.kubectl.get("tm", "a")["status"]["placedBy"] == {"name": HOST, "uid": owner["uid"]}


async def place(site: Site, *hosts: str) -> None:
    """Have hosts with a model each, of the same name, that is placed; one more of each waits for memory."""
    things = [make.host_object(each) for each in hosts]
    things += [make.model_object(each, host=each) for each in hosts]
    things += [make.model_object(f"{each}-waits", host=each, memory="99Gi") for each in hosts]
    await site.do("apply", "-f", "-", text=yaml.safe_dump_all(map(site.kubectl.here, things)))
    await eventually_in_thread(lambda: placed(site) == sorted(hosts), "one model of each is placed")
    await eventually_in_thread(lambda: all("status" in each for each in site.kubectl.list("tm")), "the others wait")


def placed(site: Site) -> list[str]:
    """Return the models whose status names the host that placed them."""
    return sorted(each["metadata"]["name"] for each in site.kubectl.list("tm") if "placedBy" in each.get("status", {}))


def waiting(hosts: Iterable[str]) -> list[str]:
    """Return the models that were never placed: they outlive their hosts."""
    return [f"{each}-waits" for each in hosts]


async def delete(site: Site, host: str, *words: str) -> None:
    await site.do("delete", "isvc", host, *words)


async def make_again(site: Site, host: str) -> None:
    await site.do("replace", "--force", "-f", "-", text=json.dumps(site.kubectl.here(make.host_object(host))))


async def hold(site: Site, host: str, *finalizers: str) -> None:
    patch = json.dumps({"metadata": {"finalizers": finalizers or None}})
    await site.do("patch", "isvc", host, "--type=merge", "-p", patch)


async def test_the_models_of_a_host_go_after_the_grace_period_unless_it_is_orphaned_or_there_again(site: Site) -> None:
    hosts = ("background", "foreground", "held", "orphaned", HOST)
    async with site.operator():
        await place(site, *hosts)
        before = {each["metadata"]["name"]: each["metadata"]["uid"] for each in site.kubectl.list("tm")}
        await hold(site, "held", "example.com/held")
        await delete(site, "held", "--wait=false")
        await delete(site, "orphaned", "--cascade=orphan")
        await make_again(site, HOST)
        await delete(site, "foreground", "--cascade=foreground")
        await delete(site, "background")
        await asyncio.sleep(GRACE_PERIOD - 2)
        assert {"background", "foreground"} <= set(site.models()), "not before the grace period is over"
        left = sorted([*waiting(hosts), "held", "orphaned", HOST])
        await eventually_in_thread(lambda: site.models() == left, "the models of two hosts are deleted")
        await eventually_in_thread(lambda: site.ready() == [HOST], "the model of the host that was replaced is served")
        assert site.kubectl.get("tm", "orphaned")["status"].get("placedBy") is None
        assert condition(site.kubectl.get("tm", "orphaned"))["message"] == (
            f"waiting for InferenceService orphaned, which does not exist in namespace {site.kubectl.namespace}"
        )
        await hold(site, "held")
        await eventually_in_thread(lambda: "held" not in site.models(), "it goes when its host is gone")
        assert {each["metadata"]["uid"] for each in site.kubectl.list("tm")} <= set(before.values())


async def test_an_operator_that_was_down_deletes_the_models_of_hosts_that_are_gone_after_the_grace_period(
    site: Site,
) -> None:
    hosts = ("gone", "orphaned", "again")
    async with site.operator():
        await place(site, *hosts)
    await delete(site, "gone")
    await delete(site, "orphaned", "--cascade=orphan")
    await delete(site, "again")
    await asyncio.sleep(GRACE_PERIOD + 1)
    await site.do("apply", "-f", "-", text=json.dumps(site.kubectl.here(make.host_object("again"))))
    assert set(hosts) <= set(site.models()), "owner references delete nothing"
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with site.operator():
        await eventually_in_thread(lambda: "gone" not in site.models(), "the model is deleted")
        assert loop.time() - began > GRACE_PERIOD - 1
        await eventually_in_thread(
            lambda: placed(site) == ["again"], "a host that is there keeps its model, and so does an orphan"
        )
        assert site.models() == sorted([*waiting(hosts), "orphaned", "again"])


async def test_a_namespace_that_leaves_the_scope_and_comes_back_loses_nothing_unless_its_host_was_deleted(
    site: Site,
) -> None:
    async with site.operator():
        await site.set_up()
    async with site.operator(site.configured_in):
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert site.models() == sorted(MODELS)
    async with site.operator():
        await asyncio.sleep(GRACE_PERIOD + 1)
        await site.served(*MODELS)
    async with site.operator(site.configured_in):
        await site.do("delete", "isvc", HOST)
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert site.models() == sorted(MODELS), "out of scope nothing is deleted"
    async with site.operator():
        await eventually_in_thread(lambda: site.models() == [], "in scope again, and the host is truly gone")


class WithoutHosts(KubeHttp):
    """A client that is shown no InferenceService by lists and watches, as by an API server that lags behind."""

    async def pages(self, kind: Kind, selection: Selection = EVERYTHING) -> AsyncGenerator[Listing, None]:
        async for page in super().pages(kind, selection):
            yield Listing([], page.resource_version) if kind is kinds.INFERENCE_SERVICE else page

    async def watch(self, kind: Kind, *rest: Any, **more: Any) -> AsyncGenerator[Manifest, None]:
        async for event in super().watch(kind, *rest, **more):
            if kind is not kinds.INFERENCE_SERVICE or event["type"] == "BOOKMARK":
                yield event


async def test_a_cache_without_the_host_deletes_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.operator():
        await site.set_up()
    real, site.client = site.client, WithoutHosts(site.client._access)
    async with site.client, site.operator():
        await eventually_in_thread(
            lambda: "are not deleted: the API server has it" in caplog.text, "the API server is asked"
        )
        await asyncio.sleep(2)
        assert site.models() == sorted(MODELS)
    site.client = real
    async with site.operator():
        await site.served(*MODELS)


@pytest.mark.parametrize("missing_for", [0.0, GRACE_PERIOD + 1], ids=["a moment", "longer than the grace period"])
async def test_the_crd_of_hosts_that_is_deleted_keeps_all_models(
    own: Cluster, missing_for: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with site_on(own) as site, site.operator():
        await site.set_up()
        crd = f"crd/inferenceservices.{GROUP}"
        thing = json.loads(await site.do("get", crd, "-o", "json"))
        await site.do("delete", crd)
        await asyncio.sleep(missing_for)
        assert site.models() == sorted(MODELS)
        bare = {"name": thing["metadata"]["name"], "labels": thing["metadata"].get("labels", {})}
        await site.do("create", "-f", "-", text=json.dumps(thing | {"metadata": bare, "status": None}))
        await eventually_in_thread(lambda: serves_hosts(site), "the kind is served again", 30)
        await asyncio.sleep(GRACE_PERIOD + 3)
        assert site.models() == sorted(MODELS), "no user deleted them, nor their host"
        assert "stay: the CRD of inferenceservices is missing or being deleted" in caplog.text


def serves_hosts(site: Site) -> bool:
    """Return whether the API server serves InferenceServices; there are none."""
    try:
        return site.kubectl.list("isvc") == []
    except Refused:
        return False


async def test_a_burst_of_deletions_is_limited_and_counted(site: Site, client: KubeHttp) -> None:
    count = 3 * DELETIONS_PER_PLAN
    before = metrics.MODELS_DELETED._value.get()
    async with site.operator(), recording(client, site.kubectl.namespace) as recorder:
        await site.set_up(*(f"m-{number:03d}" for number in range(count)))
        await site.do("delete", "isvc", HOST)
        await eventually_in_thread(lambda: len(gone(recorder)) == count, "all are deleted", 60)
    assert metrics.MODELS_DELETED._value.get() - before == count
    times = gone(recorder)
    first_of_next = times[DELETIONS_PER_PLAN::DELETIONS_PER_PLAN]
    assert all(later - first > BURST_PERIOD / 2 for first, later in zip(times, first_of_next, strict=False))
    assert times[-1] - times[0] > BURST_PERIOD


def gone(recorder: HistoryRecorder) -> list[float]:
    """Return when each model was deleted."""
    kind = kinds.TRAINED_MODEL.name
    return sorted(each.at for each in recorder.history if each.kind == kind and each.gone)
