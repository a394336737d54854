"""Staged roll-outs on a real API server, with its controller of Deployments: another image replaces one host's pods."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

from manyserve.api import names
from manyserve.cluster.client import KubeClient
from manyserve.plan.status.rollout_wait import ROLLOUT_WAITS
from tests.contract.kubelet import kubelet
from tests.contract.stage import Stage, is_idle, writes_stop
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread

HOSTS = ("a", "b", "c")
NEW = "example/manyserve:2"


def images(stage: Stage) -> list[str]:
    """Return the image of each host's agent in its Deployment."""
    found = {each["metadata"]["name"]: each for each in stage.kubectl.list("deployment")}
    containers = [found[names.deployment(host)]["spec"]["template"]["spec"]["containers"] for host in HOSTS]
    return [next(each["image"] for each in of_host if each["name"] == names.AGENT_CONTAINER) for of_host in containers]


def updated(stage: Stage) -> list[str]:
    """Return the hosts with the new image."""
    return [host for host, image in zip(HOSTS, images(stage), strict=True) if image == NEW]


def waits(stage: Stage, host: str) -> str | None:
    """Return the sentence of a host that waits and is ready, or None."""
    ready = stage.ready("isvc", host)
    is_waiting = (ready.get("status"), ready.get("reason")) == ("True", ROLLOUT_WAITS)
    return str(ready["message"]) if is_waiting else None


async def test_another_image_of_the_agents_replaces_the_pods_of_one_host_after_the_other(
    stage: Stage, client: KubeClient
) -> None:
    namespace = stage.kubectl.namespace
    async with AsyncExitStack() as stack:
        kubelets = {host: (await stack.enter_async_context(kubelet(client, namespace, host)))[0] for host in HOSTS}
        stage.apply(*map(make.host_object, HOSTS))
        await eventually_in_thread(
            lambda: all(stage.ready("isvc", host).get("status") == "True" for host in HOSTS), "all hosts answer"
        )
        await eventually(lambda: is_idle(stage.operator))
        for each in kubelets.values():
            each.starts.clear()
        patch = json.dumps({"data": {"agent": json.dumps({"image": NEW})}})
        stage.kubectl("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", patch)

        sentence = f"its pods wait for the roll-out of {namespace}/a, 1 host at a time"
        await eventually_in_thread(lambda: waits(stage, "b") == sentence, "the second host waits for the first one")
        await eventually_in_thread(lambda: waits(stage, "c") is not None, "the third host waits")
        assert updated(stage) == ["a"]
        await writes_stop(stage.kubectl, "deployments,isvc", stage.operator)
        assert f"its pods wait for the roll-out of {namespace}/a" in stage.kubectl("get", "isvc", "b", "-o", "wide")

        stage.apply(make.host_object("c", memory="3Gi"))
        await eventually_in_thread(lambda: updated(stage) == ["a", "c"], "the edit of a user waits for no other host")
        kubelets["a"].starts.set()
        await eventually_in_thread(lambda: updated(stage) == list(HOSTS), "the next host begins")
        for each in kubelets.values():
            each.starts.set()
        await eventually_in_thread(
            lambda: all("reason" not in stage.ready("isvc", host) for host in HOSTS), "all hosts have their new pods"
        )
