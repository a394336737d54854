"""Two operators with the same scope: the second one writes nothing to the hosts of the first."""

from __future__ import annotations

import asyncio

from manyserve.api.names import Key
from manyserve.cluster.client import KubeClient
from manyserve.operator.operator import Operator
from manyserve.operator.settings import OperatorSettings
from tests.contract.stage import HOST, Stage, replanned
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread

KINDS = "isvc,tm,deploy,svc,cm,ing,pdb"


def versions(stage: Stage) -> dict[str, str]:
    """Return the resourceVersions of the host, its model and its children."""
    metadata = [each["metadata"] for each in stage.kubectl.list(KINDS)]
    return {f"{each['uid']}": each["resourceVersion"] for each in metadata}


async def listed(operator: Operator) -> None:
    """Wait until an operator is ready and has planned once for each host."""
    await eventually(lambda: not operator.readiness_problem())
    await replanned(operator)


async def test_second_operator_leaves_the_hosts_of_the_first_and_takes_them_over(
    stage: Stage, client: KubeClient
) -> None:
    namespace = stage.kubectl.namespace
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    first = f"{namespace}/{OperatorSettings().lease}"
    assert stage.kubectl.get("isvc", HOST)["status"]["operator"] == first
    before = await asyncio.to_thread(versions, stage)
    for take_over in ("", first):
        settings = OperatorSettings(
            namespace=namespace,
            watch_namespaces=(namespace,),
            agent_port=stage.agent_port,
            lease="second",
            take_over=take_over,
        )
        second = Operator(client, settings)
        await second.start()
        try:
            await listed(second)
            if take_over:
                await eventually(lambda: Key(namespace, HOST) in stage.operator._state.others.hosts)
                assert stage.kubectl.get("isvc", HOST)["status"]["operator"] == f"{namespace}/second"
            else:
                assert list(second._state.others.hosts) == [Key(namespace, HOST)]
                assert await asyncio.to_thread(versions, stage) == before
        finally:
            await second.stop()
