"""Faults of a cluster: a second operator, a burst of conflicts, a deleted namespace, a frozen API server."""

from __future__ import annotations

import asyncio
import json
import os
import signal

from localcluster import process
from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from tests.contract.stage import HOST, Stage, defects, is_idle, replanned, running, runs, writes_stop
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.queues import waiting

CONFIG = names.model_config(HOST)


async def test_two_operators_at_once_place_like_one_and_then_stop_writing(stage: Stage, api_server: Cluster) -> None:
    async with (
        KubeClient(find_cluster_config({"KUBECONFIG": str(api_server.kubeconfig)})) as client,
        running(client, stage.kubectl.namespace, stage.agent_port) as second,
    ):
        stage.apply(make.host_object(), *(make.model_object(f"m-{number}", memory="512Mi") for number in range(8)))
        await eventually_in_thread(lambda: len(stage.placed()) == 4, "the models that fit are placed")
        await eventually_in_thread(
            lambda: sum(stage.ready("tm", f"m-{number}").get("status") == "True" for number in range(8)) == 4,
            "the four that fit answer",
        )
        operators = (stage.operator, second, stage.operator)  # the first one again, after what the second one wrote
        await writes_stop(stage.kubectl, "tm,isvc,configmap,deployment", *operators)
    assert all(len(placed) <= 4 for placed in stage.kubelet.configs)
    for earlier, later in zip(stage.kubelet.configs, stage.kubelet.configs[1:], strict=False):
        assert set(earlier) <= set(later)


async def test_operator_backs_off_in_a_burst_of_conflicts_and_converges(stage: Stage, client: KubeClient) -> None:
    stage.apply(make.host_object(memory="64Gi"), make.model_object())
    await eventually_in_thread(lambda: stage.placed() == ["cifar10"], "the model is placed")
    failed = runs("error")
    count = 0

    async def write_forever() -> None:
        nonlocal count
        while True:
            count += 1
            patch = {"metadata": {"annotations": {"example.com/storm": str(count)}}}
            await client.merge_patch(kinds.CONFIG_MAP, stage.kubectl.namespace, CONFIG, patch)
            await asyncio.sleep(0.01)

    conflicts = asyncio.create_task(write_forever())
    for number in range(10):
        await asyncio.to_thread(stage.apply, make.model_object(f"m-{number}", memory="1Mi"))
    stormed = count
    await eventually(lambda: count > stormed + 100, "the conflicts go on", 60)
    conflicts.cancel()
    await eventually_in_thread(lambda: len(stage.placed()) == 11, "all are placed")
    assert runs("error") - failed < 30
    assert count > 50, "there were many conflicts"


async def test_operator_forgets_a_deleted_namespace(stage: Stage) -> None:
    host = make.host_object(memory="64Gi")
    stage.apply(host, *(make.model_object(f"m-{number}", memory="1Mi") for number in range(20)))
    failed, before = runs("error"), defects()
    stage.kubectl("delete", "namespace", stage.kubectl.namespace, "--wait=false")
    await eventually_in_thread(
        lambda: not stage.kubectl.exists("namespace", stage.kubectl.namespace), "the namespace is gone", 90
    )
    await eventually(lambda: not waiting(stage.operator._queue) and is_idle(stage.operator), limit=70)
    assert runs("error") - failed < 20, "no loop of errors"
    assert defects() == before
    stage.kubectl("create", "namespace", stage.kubectl.namespace)


async def test_operator_reconnects_to_a_frozen_api_server(stage: Stage, api_server: Cluster) -> None:
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    pid = process.find(api_server, "kube-apiserver")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        stage.operator._state.enqueue_all()
        await asyncio.sleep(5)
        assert stage.operator.liveness_problem() is None
    finally:
        os.kill(pid, signal.SIGCONT)
    stage.apply(make.model_object("simple-string"))
    await eventually_in_thread(lambda: stage.placed() == ["cifar10", "simple-string"], "the next is placed", 60)


async def test_operator_keeps_manual_scaling_of_an_autoscaled_host(stage: Stage) -> None:
    stage.apply(make.host_object(minReplicas=1, maxReplicas=3))
    deployment = names.deployment(HOST)
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    stage.kubectl("scale", "deployment", deployment, "--replicas=2")
    await replanned(stage.operator)
    assert stage.kubectl.get("deployment", deployment)["spec"]["replicas"] == 2
    stage.kubectl("patch", "deployment", deployment, "-p", json.dumps({"spec": {"progressDeadlineSeconds": 7}}))
    await eventually_in_thread(
        lambda: stage.kubectl.get("deployment", deployment)["spec"]["progressDeadlineSeconds"] == 600 + 1800,
        "the operator's field is restored",
    )
    assert stage.kubectl.get("deployment", deployment)["spec"]["replicas"] == 2
