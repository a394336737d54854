"""Our own API group beside KServe's CRDs and objects: operator and webhook as processes of that group.

KServe's CRDs accept any object. Its objects here would be managed if they were in our group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api.names import MANAGED_BY
from manyserve.api_group import GROUPS, KSERVE, OWN, VARIABLE
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.plan.departure import GRACE_PERIOD
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure
from tests.contract.test_crds import HOST_HEADER, MODEL_HEADER, header
from tests.support import make
from tests.support.control_plane import CRDS, environment, new_namespace
from tests.support.eventually import eventually_in_thread, eventually_sync
from tests.support.foreign_crds import permissive_crds
from tests.support.helm import remove_crds
from tests.support.kubectl import Kubectl, Refused, condition
from tests.support.programs import Program, program, read
from tests.support.webhook import PROBE, webhook

CHILDREN = "deployment,service,configmap,hpa,poddisruptionbudget,ingress"
MINE = f"{MANAGED_BY}=manyserve"
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def server(bare_server: Cluster) -> Iterator[Cluster]:
    """An API server with KServe's CRDs, which accept any object, and the CRDs of our own group."""
    kubectl = Kubectl(environment(bare_server))
    kubectl.apply(*permissive_crds())
    kubectl("apply", "--server-side", "-f", str(CRDS / OWN))
    eventually_sync(lambda: are_served(kubectl), "the kinds of both groups are served")
    yield bare_server
    remove_crds(kubectl)


def are_served(kubectl: Kubectl) -> bool:
    try:
        return kubectl("get", "isvc,tm,misvc,mtm", "-A") == ""
    except Refused:
        return False


@pytest.fixture
def kubectl(server: Cluster) -> Iterator[Kubectl]:
    with new_namespace(server) as kubectl:
        yield kubectl


@pytest.fixture
async def client(server: Cluster) -> AsyncIterator[KubeClient]:
    async with KubeClient(find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})) as client:
        yield client


def in_group(group: str, manifest: Manifest) -> Manifest:
    """Return the object in another API group."""
    return manifest | {"apiVersion": manifest["apiVersion"].replace(KSERVE, group)}


def versions(kubectl: Kubectl) -> dict[str, str]:
    """Return the resourceVersions of KServe's objects in the namespace."""
    objects = [*kubectl.list("isvc"), *kubectl.list("tm")]
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in objects}


@asynccontextmanager
async def operator(server: Cluster, kubectl: Kubectl, folder: Path, group: str, port: int) -> AsyncIterator[Program]:
    """Run the operator of a group for the namespace."""
    settings = {
        VARIABLE: group,
        "MANYSERVE_AGENT_PORT": str(port),
        "MANYSERVE_LEASE": f"operator.{group}",
        "POD_NAME": group,
    }
    log = folder / f"{group}.log"
    with program(server.kubeconfig, kubectl.namespace, log, settings=settings) as running:
        try:
            await eventually_in_thread(lambda: read(running.health, "/readyz") == "ok", "the operator is ready", 60)
            yield running
        finally:
            print(log.read_text())


async def ready(kubectl: Kubectl, kind: str, name: str, limit: float = 40) -> None:
    """Wait until an object is Ready."""
    await eventually_in_thread(
        lambda: condition(kubectl.get(kind, name)).get("status") == "True", f"{kind} {name} is Ready", limit
    )


async def test_own_group_host_is_served_and_kserves_objects_get_no_write(
    server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path
) -> None:
    configure(kubectl)
    kubectl.apply(kubectl.here(make.host_object("theirs")), kubectl.here(make.model_object("m", host="theirs")))
    kubectl.apply(kubectl.here(make.model_object("astray", host=HOST)))
    before = versions(kubectl)
    async with (
        kubelet(client, kubectl.namespace, HOST, OWN) as (_, port),
        operator(server, kubectl, tmp_path, OWN, port),
    ):
        kubectl.apply(kubectl.here(in_group(OWN, make.host_object())), kubectl.here(in_group(OWN, make.model_object())))
        await ready(kubectl, "misvc", HOST)
        await ready(kubectl, "mtm", "cifar10")
        assert header(kubectl, "misvc") == HOST_HEADER
        assert header(kubectl, "mtm") == MODEL_HEADER
        await eventually_in_thread(lambda: kubectl.list("event"), "an event is there")
    children = kubectl.list(CHILDREN, "-l", MINE)
    assert {each["kind"] for each in children} >= {"Deployment", "Service", "ConfigMap", "Ingress"}
    for child in children:
        assert_is_of_our_group(child)
    assert {each["metadata"]["name"].partition("-predictor")[0] for each in kubectl.list("deployment")} == {HOST}
    (pod,) = kubectl.list("pod", "-l", f"{OWN}/inferenceservice={HOST},{OWN}/component=predictor")
    assert KSERVE not in str(pod["metadata"])
    events = [each["involvedObject"] for each in kubectl.list("event")]
    assert {each["apiVersion"].partition("/")[0] for each in events if each["kind"] in KINDS} == {OWN}
    assert versions(kubectl) == before


KINDS = ("InferenceService", "TrainedModel")


def assert_is_of_our_group(child: Manifest) -> None:
    """Assert that labels, annotations, owner and selectors of a child name our group and never KServe's."""
    assert child["metadata"]["labels"][f"{OWN}/inferenceservice"] == HOST
    assert [each["apiVersion"] for each in child["metadata"]["ownerReferences"]] == [f"{OWN}/v1beta1"]
    assert KSERVE not in str({key: each for key, each in child.items() if key != "status"})


async def test_own_group_change_and_back_deletes_no_model_and_changes_no_status(
    server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path
) -> None:
    configure(kubectl)
    async with kubelet(client, kubectl.namespace, HOST, KSERVE) as (_, port):
        async with operator(server, kubectl, tmp_path, KSERVE, port):
            kubectl.apply(kubectl.here(make.host_object()), kubectl.here(make.model_object()))
            await ready(kubectl, "tm", "cifar10")
        before = versions(kubectl)
        async with operator(server, kubectl, tmp_path, OWN, port):
            await asyncio.sleep(GRACE_PERIOD + 1)  # a deletion would come after the grace period
        assert versions(kubectl) == before
        async with operator(server, kubectl, tmp_path, KSERVE, port):
            await asyncio.sleep(GRACE_PERIOD + 1)
            await ready(kubectl, "tm", "cifar10")
    model = kubectl.get("tm", "cifar10")
    assert model["status"]["placedBy"]["uid"] == kubectl.get("isvc", HOST)["metadata"]["uid"]


async def test_own_group_host_of_a_used_name_leaves_the_others_children(
    server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path
) -> None:
    configure(kubectl)
    async with (
        kubelet(client, kubectl.namespace, HOST, OWN) as (_, port),
        operator(server, kubectl, tmp_path, OWN, port),
        operator(server, kubectl, tmp_path, KSERVE, port),
    ):
        kubectl.apply(kubectl.here(in_group(OWN, make.host_object())))
        await ready(kubectl, "misvc", HOST)
        before = owners(kubectl)
        kubectl.apply(kubectl.here(make.host_object()))
        await eventually_in_thread(
            lambda: "does not belong to" in str(condition(kubectl.get("isvc", HOST))),
            "the host reports the foreign children",
            30,
        )
        assert owners(kubectl) == before
        await ready(kubectl, "misvc", HOST)


def owners(kubectl: Kubectl) -> set[tuple[str, str, str]]:
    """Return the kind, the uid and the owner's uid of each child."""
    children = kubectl.list(CHILDREN, "-l", MINE)
    return {
        (each["kind"], each["metadata"]["uid"], owner["uid"])
        for each in children
        for owner in each["metadata"]["ownerReferences"]
    }


def test_own_group_webhook_reviews_our_group_only(server: Cluster, kubectl: Kubectl, tmp_path: Path) -> None:
    configure(kubectl)
    with webhook(server.kubeconfig, kubectl, tmp_path, group=OWN) as running:
        with pytest.raises(Refused, match=rf'webhook "validate\.{OWN}" denied the request: spec\.model\.storageUri'):
            kubectl.create(in_group(OWN, PROBE))
        before = reviews(running.metrics)
        assert before
        assert "created" in kubectl.create(PROBE)
        assert "created" in kubectl.create(in_group(OWN, make.host_object()))
        eventually_sync(lambda: reviews(running.metrics) > before, "the page of the metrics is a new one")
        assert reviews(running.metrics) == before + 1


def reviews(metrics: str) -> float:
    """Return the number of reviews."""
    lines = [line for line in metrics.splitlines() if line.startswith("manyserve_webhook_reviews_total")]
    return sum(float(line.split()[-1]) for line in lines)


@pytest.mark.parametrize("group", GROUPS)
def test_own_group_operator_without_crds_names_the_install_command(
    bare_server: Cluster, tmp_path: Path, group: str
) -> None:
    remove_crds(Kubectl(environment(bare_server)))
    with program(bare_server.kubeconfig, "default", tmp_path / "log", settings={VARIABLE: group}) as running:
        assert running.process.wait(timeout=60) == 2
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert f"inferenceservices.{group} is not installed" in line
    assert f"manyserve crds --group {group} | kubectl apply --server-side -f -" in line
