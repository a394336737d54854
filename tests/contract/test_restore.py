"""A restore loses no model, and a host that is deleted takes its models along: with the garbage collector at work."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.access import find_access
from manyserve.cluster.client import KubeHttp
from manyserve.operator import metrics
from manyserve.operator.operator import Operator
from manyserve.plan.departure import BURST_PERIOD, DELETIONS_PER_PLAN, GRACE_PERIOD
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure, running, soon
from tests.faults.witness import Witness, witnessing
from tests.support import make
from tests.support.control_plane import control_plane, new_namespace
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl, Manifest, Refused, condition
from tests.support.webhook import webhook_beside

MODELS = ("a", "b", "c")
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
        await soon(lambda: self.ready() == sorted(models), f"{len(models)} models are served", 60)

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


async def test_argo_cd_manages_placed_models_since_they_have_no_owner(site: Site) -> None:
    async with site.operator():
        await site.set_up()
        owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": HOST}
        owner["uid"] = site.kubectl.get("isvc", HOST)["metadata"]["uid"]
        patch = {"metadata": {"ownerReferences": [owner]}}
        await site.do("patch", "tm", "a", "--type=merge", "-p", json.dumps(patch))
        await soon(
            lambda: not any("ownerReferences" in each["metadata"] for each in site.kubectl.list("tm")),
            "no model has an owner reference",
        )
        assert site.kubectl.get("tm", "a")["status"]["placedBy"] == {"name": HOST, "uid": owner["uid"]}


async def seconds_until(holds: Callable[[], bool], what: str) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await soon(holds, what, 60)
    return loop.time() - began


@pytest.mark.parametrize("cascade", ["background", "foreground"])
async def test_the_models_of_a_host_that_is_deleted_go_after_the_grace_period(site: Site, cascade: str) -> None:
    async with site.operator():
        await site.set_up()
        await site.do("apply", "-f", "-", text=json.dumps(site.kubectl.here(make.model_object("large", memory="99Gi"))))
        await soon(lambda: condition(site.kubectl.get("tm", "large")).get("status") == "False", "it has no memory")
        await site.do("delete", "isvc", HOST, f"--cascade={cascade}")
        await asyncio.sleep(GRACE_PERIOD - 2)
        assert site.models() == sorted((*MODELS, "large")), "not before the grace period is over"
        await soon(lambda: site.models() == ["large"], "one that was never placed stays")


async def test_the_models_of_a_host_that_is_replaced_stay_and_are_served_again(site: Site) -> None:
    async with site.operator():
        await site.set_up()
        uids = {each["metadata"]["uid"] for each in site.kubectl.list("tm")}
        old = site.kubectl.get("isvc", HOST)["metadata"]["uid"]
        text = json.dumps(site.kubectl.here(make.host_object(memory="64Gi")))
        await site.do("replace", "--force", "-f", "-", text=text)
        assert site.kubectl.get("isvc", HOST)["metadata"]["uid"] != old
        await asyncio.sleep(GRACE_PERIOD + 1)
        await site.served(*MODELS)
        assert {each["metadata"]["uid"] for each in site.kubectl.list("tm")} == uids


@pytest.mark.parametrize("down", [False, True], ids=["operator up", "operator down"])
async def test_the_models_of_a_host_that_is_deleted_as_an_orphan_stay(site: Site, down: bool) -> None:
    async with AsyncExitStack() as operator:
        await operator.enter_async_context(site.operator())
        await site.set_up()
        if down:
            await operator.aclose()
        await site.do("delete", "isvc", HOST, "--cascade=orphan")
        if down:
            await operator.enter_async_context(site.operator())
        await soon(
            lambda: all("placedBy" not in each["status"] for each in site.kubectl.list("tm")), "the models are kept"
        )
        await asyncio.sleep(GRACE_PERIOD + 2)
        assert site.models() == sorted(MODELS)
        assert condition(site.kubectl.get("tm", "a"))["message"] == (
            f"waiting for InferenceService {HOST}, which does not exist in namespace {site.kubectl.namespace}"
        )


async def test_the_models_of_a_host_that_is_deleted_while_the_operator_is_down_go_after_its_start(site: Site) -> None:
    async with site.operator():
        await site.set_up()
    await site.do("delete", "isvc", HOST)
    await asyncio.sleep(GRACE_PERIOD + 1)
    assert site.models() == sorted(MODELS)
    async with site.operator():
        seconds = await seconds_until(lambda: site.models() == [], "the models are deleted")
    assert seconds > GRACE_PERIOD - 1


async def test_a_host_that_is_held_by_a_finalizer_keeps_its_models_until_it_is_gone(site: Site) -> None:
    async with site.operator():
        await site.set_up()
        await site.do("patch", "isvc", HOST, "--type=merge", "-p", '{"metadata": {"finalizers": ["example.com/held"]}}')
        await site.do("delete", "isvc", HOST, "--wait=false")
        await asyncio.sleep(GRACE_PERIOD + 1)
        assert site.models() == sorted(MODELS)
        await site.do("patch", "isvc", HOST, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        await soon(lambda: site.models() == [], "the models are deleted")


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
        await soon(lambda: site.models() == [], "in scope again, and the host is truly gone")


async def test_the_crd_of_hosts_that_is_deleted_keeps_all_models() -> None:
    with control_plane() as server:
        async with site_on(server) as site, site.operator():
            await site.set_up()
            crd = f"crd/inferenceservices.{GROUP}"
            text = await site.do("get", crd, "-o", "json")
            await site.do("delete", crd)
            await asyncio.sleep(GRACE_PERIOD + 3)
            assert site.models() == sorted(MODELS)
            own = json.loads(text)
            bare = {"name": own["metadata"]["name"], "labels": own["metadata"].get("labels", {})}
            await site.do("create", "-f", "-", text=json.dumps(own | {"metadata": bare, "status": None}))
            await site.do("wait", "--for=condition=Established", crd)
            await asyncio.sleep(GRACE_PERIOD + 3)
            assert site.models() == sorted(MODELS), "and when the CRD is there again"


async def test_a_burst_of_deletions_is_limited_and_counted(site: Site, client: KubeHttp) -> None:
    count = 3 * DELETIONS_PER_PLAN
    before = metrics.MODELS_DELETED._value.get()
    async with site.operator(), witnessing(client, site.kubectl.namespace) as witness:
        await site.set_up(*(f"m-{number:03d}" for number in range(count)))
        await site.do("delete", "isvc", HOST)
        await soon(lambda: len(gone(witness)) == count, "all are deleted", 60)
    assert metrics.MODELS_DELETED._value.get() - before == count
    times = gone(witness)
    first_of_next = times[DELETIONS_PER_PLAN::DELETIONS_PER_PLAN]
    assert all(later - first > BURST_PERIOD / 2 for first, later in zip(times, first_of_next, strict=False))
    assert times[-1] - times[0] > BURST_PERIOD


def gone(witness: Witness) -> list[float]:
    """Return when each model was deleted."""
    kind = kinds.TRAINED_MODEL.name
    return sorted(each.at for each in witness.history if each.kind == kind and each.gone)
