"""Leader election with the two replicas of the chart: a killed or deleted leader is replaced within a limit."""

from __future__ import annotations

import time

from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, condition
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import host, kill, model, wait_ready

SYSTEM = "manyserve-system"
LEASE = "manyserve-operator"


def operators(system: Kubectl) -> dict[str, str]:
    """Return the uids of the operator's pods that are ready, by name."""
    pods = system.list("pod", "-l", "app.kubernetes.io/component=operator")
    return {
        each["metadata"]["name"]: each["metadata"]["uid"] for each in pods if condition(each).get("status") == "True"
    }


def holder(system: Kubectl) -> str:
    return str(system.get("lease", LEASE)["spec"]["holderIdentity"])


def wait_both(system: Kubectl) -> dict[str, str]:
    """Wait until both replicas are ready and one of them leads."""
    eventually_sync(lambda: len(operators(system)) == 2 and holder(system) in operators(system), "both are there", 120)
    return operators(system)


def test_leader_killed_or_deleted_is_replaced_and_settled_objects_get_no_write(
    cluster: DemoCluster, kubectl: Kubectl, figures: Figures
) -> None:
    system = Kubectl(cluster.env, SYSTEM)
    pods = wait_both(system)
    assert holder(system) in system("get", "lease")
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    before = kubectl.get("tm", "a")["metadata"]["resourceVersion"]

    kill(pods[holder(system)], "manyserve operator")
    began = time.monotonic()
    kubectl.apply(model("b"))
    wait_ready(kubectl, "tm", "b")
    figures.take("working operator killed: a new model is Ready after", time.monotonic() - began, "s", below=30)

    first = holder(system)
    wait_both(system)
    system("delete", "pod", first, "--wait=false")
    began = time.monotonic()
    kubectl.apply(model("c"))
    wait_ready(kubectl, "tm", "c")
    figures.take("working operator deleted: a new model is Ready after", time.monotonic() - began, "s", below=15)
    assert holder(system) in set(wait_both(system)) - {first}
    assert kubectl.get("tm", "a")["metadata"]["resourceVersion"] == before
