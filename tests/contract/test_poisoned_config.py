"""A `models.json` that is expensive to read delays no other host. The operator runs as a process.

One host's ConfigMap is poisoned again and again, while hosts in another namespace are created and placed.
`UNMANAGED=long` creates more of them.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from localcluster.paths import Cluster
from manyserve.api import modelconfig, names
from manyserve.api.modelconfig import KEY, PACKED_KEY
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError
from manyserve.plan.model_config import text_of
from tests.contract.stage import HOST, configure
from tests.support import chart, make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.figures import LONG, TENANTS_LONG, Figures, reports
from tests.support.kubectl import Kubectl, condition
from tests.support.placements import Comparison, Placements, placements
from tests.support.poison import REFUSED, TAKEN, config_map_forms
from tests.support.programs import Program, peak_mib, program, read
from tests.support.tasks import background

Manifest = dict[str, Any]
ROUNDS = 20 if LONG or TENANTS_LONG else 5
PAUSE = 0.02
"""Seconds between two edits of the poisoned ConfigMap."""
MEMORY_LIMIT_MIB = 300
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
    others: Placements
    operator: Program
    edits: int = 0
    slowest: float = 0.0
    """The longest time of an answer of /healthz, in seconds."""

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
    with two_namespaces(api_server, folder) as (victim, other, operator):
        async with placements(client, other.namespace) as others:
            yield await furnished(Cases(client, victim, others, operator))


async def furnished(case: Cases) -> Cases:
    """Create the host with its models."""
    victim = case.victim
    await eventually_in_thread(lambda: read(case.operator.health, "/readyz") == "ok", "the operator is ready")
    for manifest in (make.host_object(), *(make.model_object(each, memory="1Mi") for each in ("a", "b"))):
        await asyncio.to_thread(victim.apply, victim.here(manifest))
    await eventually_in_thread(
        lambda: victim.exists("configmap", VICTIM) and '"b"' in case.text(), "the host has its models"
    )
    return case


async def test_poisoned_config_delays_no_other_host_and_is_restored(
    api_server: Cluster, client: KubeClient, tmp_path: Path, figures: Figures, tenants: Figures
) -> None:
    async with cases(api_server, client, tmp_path) as case:
        right = await asyncio.to_thread(case.text)
        await case.others.host_in()  # the very first host takes longer
        compared = Comparison()
        async with background(case.watch_health()):
            for _ in range(ROUNDS):
                compared.without.append(await case.others.host_in())
                async with background(case.poison()):
                    await case.edited(len(FORMS))
                    compared.beside.append(await case.others.host_in())
        for name, form in FORMS.items():
            body = {"data": None, "binaryData": None} | form
            await client.merge_patch(kinds.CONFIG_MAP, case.victim.namespace, VICTIM, body)
            await eventually_in_thread(lambda: case.text() == right, f"the list is right again after {name}", 30)
            assert await asyncio.to_thread(read, case.operator.health, "/healthz") == "ok"
        print(f"{case.edits} edits; {compared}; slowest {case.slowest}")
        peak, limit = peak_mib(case.operator), chart.memory_limit_mib("operator")
        for report in (figures, tenants):
            compared.judge(report, "time of another host beside a poisoned list of models")
            report.take("slowest answer of /healthz beside the poison", case.slowest, "s", below=1)
            report.take("most memory of the operator beside the poison", peak, "MiB", below=limit)
        assert case.slowest < 5
        assert peak < MEMORY_LIMIT_MIB


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
