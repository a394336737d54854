"""A `models.json` that is expensive to read delays no other host. The operator runs as a process.

One host's ConfigMap is poisoned again and again, while hosts in another namespace are created and placed.
`UNMANAGED=long` creates more of them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api import modelconfig, names
from manyserve.api.modelconfig import KEY, PACKED_KEY
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient, ListOptions
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import Informer
from manyserve.plan.model_config import text_of
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.figures import LONG, Figures, reports
from tests.support.kubectl import Kubectl, condition
from tests.support.poison import REFUSED, TAKEN, config_map_forms
from tests.support.programs import Program, program, read

Manifest = dict[str, Any]
ROUNDS = 20 if LONG else 5
PAUSE = 0.02
"""Seconds between two edits of the poisoned ConfigMap."""
SLACK = 0.25
"""Seconds by which the response times of the API server alone may differ."""
MEMORY_LIMIT_MB = 300
VICTIM = names.model_config(HOST)


def packed(text: str) -> Manifest:
    """Return the content of a ConfigMap with a list that readers accept."""
    return {"binaryData": {PACKED_KEY: b64encode(modelconfig.pack(text)).decode()}}


FORMS: dict[str, Manifest] = {
    "20 MiB of one entry, packed": config_map_forms(REFUSED["20 MiB of one entry"]())["packed"],
    "millions of empty objects, packed": config_map_forms(REFUSED["millions of empty objects"]())["packed"],
    "fields that nobody knows, packed": packed(TAKEN["numbers in a field that nobody knows"]()),
    "a name twice at the end, as text": config_map_forms(REFUSED["a name that stands twice at the end"]())["plain"],
    "both, and another key": {
        "data": {KEY: "[" * 400_000, "notes": "x" * 400_000},
        "binaryData": {PACKED_KEY: b64encode(b"no gzip").decode()},
    },
}


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of this test, for the report."""
    return reports(request.config)["unmanaged"]


@dataclass
class Cases:
    """A host with models in one namespace, and the namespace of the others."""

    client: KubeClient
    victim: Kubectl
    others: Kubectl
    operator: Program
    numbers: Iterator[int] = field(default_factory=count)
    lists: dict[str, str] = field(default_factory=dict)
    """Content of the lists of the other namespace, by the name of their ConfigMap."""
    edits: int = 0
    slowest: float = 0.0
    """The longest time of an answer of /healthz, in seconds."""

    async def placed_in(self) -> float:
        """Return the seconds until a new host of the other namespace has a model that is placed."""
        name = f"other-{next(self.numbers)}"
        for kind, manifest in (
            (kinds.INFERENCE_SERVICE, make.host_object(name)),
            (kinds.TRAINED_MODEL, make.model_object(f"m-{name}", host=name)),
        ):
            metadata = {"name": manifest["metadata"]["name"], "namespace": self.others.namespace}
            await self.client.create(kind, manifest | {"metadata": metadata})
        began = time.monotonic()
        await eventually(lambda: f'"m-{name}"' in self.lists.get(names.model_config(name), ""), limit=60)
        return time.monotonic() - began

    async def poison(self) -> None:
        """Edit the ConfigMap of the host again and again, each time in another form."""
        for form in cycle(FORMS.values()):
            body = {"data": None, "binaryData": None} | form
            try:
                await self.client.merge_patch(kinds.CONFIG_MAP, self.victim.namespace, VICTIM, body)
            except ClusterError:
                continue  # the operator wrote first; the next edit may succeed
            self.edits += 1
            await asyncio.sleep(PAUSE)

    async def edited(self, times: int) -> None:
        """Wait for this number of further edits of the ConfigMap."""
        enough = self.edits + times
        await eventually(lambda: self.edits >= enough, limit=60)

    async def watch_health(self) -> None:
        """Request /healthz again and again, and record the longest time of an answer."""
        while True:
            began = time.monotonic()
            assert await asyncio.to_thread(read, self.operator.health, "/healthz") == "ok"
            self.slowest = max(self.slowest, time.monotonic() - began)
            await asyncio.sleep(PAUSE)

    def text(self) -> str:
        """Return the list in the poisoned ConfigMap."""
        return text_of(self.victim.get("configmap", VICTIM)) or ""


@contextmanager
def two_namespaces(api_server: Cluster, folder: Path) -> Iterator[tuple[Kubectl, Kubectl, Program]]:
    """Run the operator for all namespaces, and create two."""
    with new_namespace(api_server) as victim, new_namespace(api_server) as others:
        configure(victim)
        log, settings = folder / "log", {"MANYSERVE_WATCH_NAMESPACES": ""}
        with program(api_server.kubeconfig, victim.namespace, log, settings=settings) as operator:
            try:
                yield victim, others, operator
            finally:
                print(log.read_text()[-20_000:])


@asynccontextmanager
async def cases(api_server: Cluster, client: KubeClient, folder: Path) -> AsyncIterator[Cases]:
    """Create a host with two models, and watch the lists of other hosts."""
    with two_namespaces(api_server, folder) as (victim, others, operator):
        case = Cases(client, victim, others, operator)

        def stored(_old: Manifest | None, new: Manifest | None) -> None:
            if new is not None:
                case.lists[new["metadata"]["name"]] = text_of(new) or ""

        await eventually_in_thread(lambda: read(operator.health, "/readyz") == "ok", "the operator is ready")
        informer = Informer(client, kinds.CONFIG_MAP, selection=ListOptions(others.namespace), on_change=stored)
        watching = asyncio.create_task(informer.run())
        for manifest in (make.host_object(), *(make.model_object(each, memory="1Mi") for each in ("a", "b"))):
            await asyncio.to_thread(victim.apply, victim.here(manifest))
        await eventually_in_thread(
            lambda: victim.exists("configmap", VICTIM) and '"b"' in case.text(), "the host has its models"
        )
        yield case
        watching.cancel()


@asynccontextmanager
async def beside(coroutine: Any) -> AsyncIterator[None]:
    """Run a task during the block, and fail if the task failed."""
    task = asyncio.create_task(coroutine)
    yield
    if task.done():
        await task
    task.cancel()


async def test_poisoned_config_delays_no_other_host_and_is_restored(
    api_server: Cluster, client: KubeClient, tmp_path: Path, figures: Figures
) -> None:
    async with cases(api_server, client, tmp_path) as case:
        right = await asyncio.to_thread(case.text)
        await case.placed_in()  # the very first host takes longer
        without, within = [], []
        async with beside(case.watch_health()):
            for _ in range(ROUNDS):
                without.append(await case.placed_in())
                async with beside(case.poison()):
                    await case.edited(len(FORMS))
                    within.append(await case.placed_in())
        for name, form in FORMS.items():
            body = {"data": None, "binaryData": None} | form
            await client.merge_patch(kinds.CONFIG_MAP, case.victim.namespace, VICTIM, body)
            await eventually_in_thread(lambda: case.text() == right, f"the list is right again after {name}", 30)
            assert await asyncio.to_thread(read, case.operator.health, "/healthz") == "ok"
        plain, poisoned = statistics.median(without), statistics.median(within)
        figures.take("seconds of the other host beside the poison", poisoned, "s", peer=f"without: {plain:.3f}")
        figures.take("slowest answer of /healthz beside the poison", case.slowest, "s", below=1)
        figures.take(
            "most memory of the operator beside the poison",
            peak_mb(case.operator),
            "MB",
            peer="limit in the chart: 1024",
        )
        print(f"{case.edits} edits; without {without}; within {within}; slowest {case.slowest}")
        assert poisoned < 2 * plain + SLACK
        assert case.slowest < 5
        assert peak_mb(case.operator) < MEMORY_LIMIT_MB


async def test_poisoned_immutable_config_is_reported_and_restored_after_its_deletion(
    api_server: Cluster, client: KubeClient, tmp_path: Path
) -> None:
    async with cases(api_server, client, tmp_path) as case:
        right = await asyncio.to_thread(case.text)
        body = {"immutable": True} | FORMS["20 MiB of one entry, packed"]
        await client.merge_patch(kinds.CONFIG_MAP, case.victim.namespace, VICTIM, body)

        def message() -> str:
            return str(condition(case.victim.get("isvc", HOST), "PredictorReady").get("message"))

        await eventually_in_thread(
            lambda: f"ConfigMap {VICTIM}: " in message() and "immutable" in message(), "the host reports the ConfigMap"
        )
        await client.delete(kinds.CONFIG_MAP, case.victim.namespace, VICTIM)
        await eventually_in_thread(
            lambda: case.victim.exists("configmap", VICTIM) and case.text() == right, "the list is right again"
        )
        await eventually_in_thread(lambda: "immutable" not in message(), "the message is gone")


def peak_mb(running: Program) -> float:
    """Return the peak resident memory of a program, in MB."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
