"""Kill of the operator after its nth write, or loss of that write's answer: nothing is lost.

Each n has a new host with three models, of which two fit. The next operator starts with an empty state. Each version of
`models.json` has only models that fit, and all placed models of the version before.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from manyserve.api import names
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import Unavailable
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure, running
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, condition

WRITES = 12
"""Somewhat more than the writes for a new host with two placed models."""


class KillingClient(KubeClient):
    """A client that loses the answer of its nth write, or blocks for good after it, as if the program was killed."""

    def __init__(self, client: KubeClient, nth: int, *, dies: bool) -> None:
        super().__init__(client._config)
        self.dead = asyncio.Event()
        self._left = nth
        self._dies = dies

    async def _send_once(self, verb: str, *rest: Any) -> dict[str, Any]:
        if self.dead.is_set():
            await asyncio.Event().wait()
        answer = await super()._send_once(verb, *rest)
        self._left -= verb != "GET"
        if verb != "GET" and self._left == 0:
            if not self._dies:
                raise Unavailable("the answer was lost")
            self.dead.set()
            await asyncio.Event().wait()
        return answer


def objects(namespace: str) -> list[dict[str, Any]]:
    manifests = [make.host_object(), *(make.model_object(name) for name in ("one", "two", "three"))]
    return [each | {"metadata": {"name": each["metadata"]["name"], "namespace": namespace}} for each in manifests]


def is_settled(kubectl: Kubectl) -> bool:
    ready = [condition(each) for each in kubectl.list("tm")]
    answers = [each.get("status") for each in ready].count("True")
    return answers == 2 and any(each.get("reason") == "MemoryResourceNotAvailable" for each in ready)


@pytest.mark.parametrize("nth", range(1, WRITES + 1))
@pytest.mark.parametrize("dies", [True, False], ids=["killed", "answer lost"])
async def test_operator_killed_at_the_nth_write_loses_nothing(
    kubectl: Kubectl, client: KubeClient, nth: int, dies: bool
) -> None:
    await asyncio.to_thread(configure, kubectl)
    async with kubelet(client, kubectl.namespace, HOST) as (fake, port):
        await asyncio.to_thread(kubectl.apply, *objects(kubectl.namespace))
        async with KillingClient(client, nth, dies=dies) as mortal, running(mortal, kubectl.namespace, port):
            # a run that takes fewer writes ends without a kill
            await eventually_in_thread(
                lambda: mortal.dead.is_set() or is_settled(kubectl), "the kill, or all is well", 30
            )
        async with running(client, kubectl.namespace, port):
            await eventually_in_thread(lambda: is_settled(kubectl), "all is well again", 30)
        assert fake.configs
        assert all(len(placed) <= 2 for placed in fake.configs), "only models that fit"
        for before, after in zip(fake.configs, fake.configs[1:], strict=False):
            assert set(before) <= set(after), "a placed model stays"
        kinds = "deployment,service,configmap,ingress"
        ours = await asyncio.to_thread(kubectl.list, kinds, "-l", f"{names.HOST_LABEL}={HOST}")
        assert len(ours) == 4
