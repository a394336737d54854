"""Environment of a fault: a namespace with the real operator behind the proxy, a simulated kubelet, and a recorder.

Every test of a fault has the same course: all is right. The fault begins. A user changes something meanwhile.
The fault ends. All is right again within a limit, nothing is written any more, and no expectation was ever broken.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from tests.contract.kubelet import Kubelet, kubelet
from tests.contract.stage import configure
from tests.faults import expectations, short_timeouts
from tests.faults.history import HistoryRecorder, recording
from tests.faults.proxy import Proxy, proxying
from tests.faults.restarting import RestartedOperator, restarting
from tests.support import make
from tests.support.eventually import NotInTime, eventually
from tests.support.kubectl import Kubectl

HOST = "triton-mms"
LONG = os.environ.get("FAULTS") == "long"
SHORT_TIMEOUTS = ("-m", "tests.faults.short_timeouts", "operator")
SHORT_SILENCE = {short_timeouts.SILENCE: "6"}
"""In the short form a silent watch is closed after 6 s, not after 75 s."""
QUIET = 10.0 if LONG else 4.0
LIMIT = 120.0
"""Seconds within which all must be right again, on a busy machine."""


@dataclass
class FaultEnv:
    """Environment of one test."""

    kubectl: Kubectl
    client: KubeClient
    api_server: Cluster
    kubelet: Kubelet
    agent_port: int
    proxy: Proxy
    recorder: HistoryRecorder
    operator: RestartedOperator
    folder: Path

    async def apply(self, *manifests: dict[str, Any]) -> None:
        """Apply objects as a user, without the proxy."""
        metadata = [{"name": each["metadata"]["name"], "namespace": self.kubectl.namespace} for each in manifests]
        objects = [each | {"metadata": own} for each, own in zip(manifests, metadata, strict=True)]
        await asyncio.to_thread(self.kubectl.apply, *objects)

    async def do(self, *words: str) -> str:
        """Run kubectl without the proxy."""
        return await asyncio.to_thread(self.kubectl, *words)

    async def furnish(self) -> None:
        """Create a host with memory for two models, and three models; wait until all is right."""
        await self.apply(make.host_object(), *(make.model_object(name) for name in ("one", "two", "three")))
        await self.right()

    async def clear(self) -> None:
        """Delete all hosts and models, and wait until their children are gone."""
        await self.do("delete", "isvc,tm", "--all")
        ours = ("Deployment", "ConfigMap", "Service", "Ingress", "Pod")
        await eventually(lambda: not [kind for kind, name in self._world() if kind in ours and HOST in name], limit=60)

    async def change(self) -> None:
        """Delete a model, change a placed one, and add one that waits."""
        await self.do("delete", "tm", "one", "--wait=false")
        await self.apply(make.model_object("two", uri="gs://bucket/another"), make.model_object("four"))

    async def right(self, limit: float = LIMIT, *, aside: str | None = None) -> float:
        """Wait until everything is right, except for the object `aside`, and return the seconds."""
        began = time.monotonic()
        await self._recorded()
        try:
            await eventually(lambda: self._is_furnished() and not self._wrong(aside), limit=limit)
        except NotInTime:
            wrong = self._wrong(aside)
            raise AssertionError(f"not right after {limit:g} s: {'; '.join(wrong)}") from None
        return time.monotonic() - began

    def _wrong(self, aside: str | None) -> list[str]:
        problems = expectations.final_problems(self.recorder.history)
        return [each for each in problems if aside is None or aside not in each.split()]

    async def quiet(self, seconds: float = QUIET, limit: float = 60) -> None:
        """Wait until nothing was written for some seconds."""
        since = time.monotonic()
        end = since + limit
        while (left := since + seconds - time.monotonic()) > 0:
            await asyncio.sleep(left)
            again = expectations.writes_after(self.recorder.history, since)
            if again:
                assert time.monotonic() < end, f"no quiet {seconds:g} s: {'; '.join(again[-5:])}"
                since = expectations.written(self.recorder.history)[-1].at

    async def judge(self) -> None:
        """Fail with the sentences about all broken expectations."""
        await self.quiet()
        history = self.recorder.history
        broken = [*expectations.final_problems(history), *expectations.always(history)]
        broken += expectations.models_outlive_their_host(history, self._deletions())
        assert not broken, "; ".join(broken)

    def _deletions(self) -> list[tuple[float, str]]:
        """Return the models that the operator deleted, with the time of the request."""
        requests = (each for each in self.proxy.history if each.verb == "delete" and "/trainedmodels/" in each.path)
        return [(each.at, each.path.rpartition("/")[2].partition("?")[0]) for each in requests]

    async def survives(self, *faults: AbstractAsyncContextManager[object]) -> float:
        """Run concurrent faults while something changes; return the seconds from their end until all is right."""
        await self.furnish()
        async with faults[0]:
            if faults[1:]:
                async with faults[1]:
                    await self.change()
            else:
                await self.change()
        seconds = await self.right()
        await self.judge()
        return seconds

    async def _recorded(self) -> None:
        """Wait until the recorder has the changes of users so far."""
        for kind in (kinds.INFERENCE_SERVICE, kinds.TRAINED_MODEL):
            listing = await self.client.list(kind, ListOptions(self.kubectl.namespace))
            versions = {each["metadata"]["name"]: int(each["metadata"]["resourceVersion"]) for each in listing.items}
            await eventually(partial(self._knows, kind, versions))

    def _knows(self, kind: kinds.Kind, there: dict[str, int]) -> bool:
        world = ((name, thing["metadata"]) for (of, name), thing in self._world().items() if of == kind.name)
        seen = {name: int(metadata["resourceVersion"]) for name, metadata in world}
        gone = set(seen) - set(there)
        return not gone and all(seen.get(name, 0) >= version for name, version in there.items())

    def _world(self) -> dict[tuple[str, str], dict[str, Any]]:
        return expectations.latest(self.recorder.history)

    def _is_furnished(self) -> bool:
        return ("InferenceService", HOST) in self._world()

    def another(self, name: str) -> RestartedOperator:
        """Return a further operator that uses the proxy under its own name."""
        return operator(self.proxy, self.kubectl.namespace, self.agent_port, self.folder, name)


def operator(
    proxy: Proxy,
    namespace: str,
    agent_port: int,
    folder: Path,
    name: str,
    *,
    settings: dict[str, str] | None = None,
    token: str | None = None,
    short_silence: bool = not LONG,
) -> RestartedOperator:
    """Return an operator that uses the proxy and needs no Lease; it is not started yet.

    With a token it is another user than the administrator.
    """
    words = SHORT_TIMEOUTS if short_silence else ()
    all_settings = (
        {"MANYSERVE_AGENT_PORT": str(agent_port), "MANYSERVE_LEADER_ELECTION": "false"}
        | SHORT_SILENCE
        | (settings or {})
    )
    return RestartedOperator(
        proxy.kubeconfig(name, folder, token), namespace, folder / f"{name}.log", all_settings, *words
    )


@asynccontextmanager
async def playing(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, folder: Path, *, short_silence: bool = not LONG
) -> AsyncIterator[FaultEnv]:
    """Yield an env; the operator is ready when this yields."""
    await asyncio.to_thread(configure, kubectl)
    async with (
        recording(client, kubectl.namespace) as recorder,
        kubelet(client, kubectl.namespace, HOST) as (one, port),
        proxying(api_server.kubeconfig) as proxy,
        restarting(operator(proxy, kubectl.namespace, port, folder, "operator", short_silence=short_silence)) as kept,
    ):
        await kept.ready()
        yield FaultEnv(kubectl, client, api_server, one, port, proxy, recorder, kept, folder)
