"""Apply models to one host, and print what it took until all are Ready, beside the floor; into `reports/bench.json`.

`python -m bench.control [--models N]`. The API server and the operator are real; the kubelet and the agents are
stand-ins that load at once. The floor is a bare loop that writes the statuses that the operator wrote, with the
same sixteen writes at a time, to models that nobody looks after. Then the operator is started anew: it must
write nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.cluster.waiting import until
from tests.contract.kubelet import Kubelet, kubelet
from tests.contract.stage import HOST, configure
from tests.support import make
from tests.support.control_plane import control_plane, environment
from tests.support.kubectl import Kubectl, condition
from tests.support.programs import program, read

from bench.agent.figures import Figure, figure, line
from bench.control.meter import Meter
from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.access import find_access
from manyserve.cluster.client import KubeHttp, Selection
from manyserve.cluster.slots import Slots

REPORT = Path(__file__).parents[2] / "reports" / "bench.json"
LIMIT = 1800.0
QUIET = 5.0
WORK, BARE = "bench", "bare"
Manifest = dict[str, Any]


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    options = parser.parse_args()
    with control_plane() as server:
        for namespace in (WORK, BARE):
            Kubectl(environment(server))("create", "namespace", namespace)
        configure(Kubectl(environment(server), WORK))
        found = asyncio.run(measure(server, options.models))
    for name, each in found.items():
        print(line(name, each))
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"models": options.models, "figures": found}, indent=1) + "\n")


async def measure(server: Cluster, count: int) -> dict[str, Figure]:
    """Return the figures of one host with so many models."""
    models = [make.model_object(f"model-{number:05d}", memory="1Mi") for number in range(count)]
    async with (
        KubeHttp(find_access({"KUBECONFIG": str(server.kubeconfig)})) as client,
        kubelet(client, WORK, HOST) as (agents, port),
    ):
        with TemporaryDirectory() as folder:
            start = partial(program, server.kubeconfig, WORK, Path(folder) / "log")
            settings = {"MANYSERVE_AGENT_PORT": str(port)}
            with start(settings=settings) as running:
                found = await _first(client, agents, Meter(running), models)
            statuses = [each["status"] for each in (await client.list(kinds.TRAINED_MODEL, Selection(WORK))).items]
            with start(settings=settings) as again:
                found |= await _restarted(Meter(again))
        return found | await _floor(client, models, statuses)


async def _first(client: KubeHttp, agents: Kubelet, meter: Meter, models: Sequence[Manifest]) -> dict[str, Figure]:
    await _ready(meter)
    await client.create(kinds.INFERENCE_SERVICE, _inside(make.host_object(memory="400Gi"), WORK))
    async with meter:
        began, cpu = time.monotonic(), meter.cpu()
        await Slots().do([partial(_create, client, WORK, each) for each in models])
        created = time.monotonic() - began
        await _all_ready(client, len(models))
        took, cpu = time.monotonic() - began, meter.cpu() - cpu
        writes = meter.writes()
    count = len(models)
    return {
        "all models created": figure(created, "s"),
        "all models Ready, from the first create": figure(took, "s"),
        "processor time a model": figure(cpu / count * 1000, "ms"),
        "resident memory, at most": figure(meter.most_memory, "MB"),
        "event loop, latest seen": figure(meter.worst_lag * 1000, "ms", below=100),
        "runs": figure(meter.runs(), "runs"),
        "models.json, versions seen": figure(len(agents.configs), "versions"),
        **{f"writes a model: {name}": figure(each / count, "writes") for name, each in sorted(writes.items())},
    }


async def _restarted(meter: Meter) -> dict[str, Figure]:
    await _ready(meter)
    await until(lambda: meter.runs() > 0, LIMIT)
    await asyncio.sleep(QUIET)
    return {"writes of an operator that starts anew": figure(sum(meter.writes().values()), "writes", exactly=0)}


async def _floor(client: KubeHttp, models: Sequence[Manifest], statuses: Sequence[Manifest]) -> dict[str, Figure]:
    await Slots().do([partial(_create, client, BARE, each) for each in models])
    names = [each["metadata"]["name"] for each in models]
    began = time.monotonic()
    await Slots().do([partial(_tell, client, *each) for each in zip(names, statuses, strict=True)])
    return {"floor: every status written once by a bare loop": figure(time.monotonic() - began, "s")}


async def _ready(meter: Meter) -> None:
    await until(lambda: read(meter.program.health, "/readyz") == "ok", LIMIT)


async def _all_ready(client: KubeHttp, count: int) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            found = (await client.list(kinds.TRAINED_MODEL, Selection(WORK))).items
            if sum(condition(each).get("status") == "True" for each in found) == count:
                return
            await asyncio.sleep(count / 2000)


async def _create(client: KubeHttp, namespace: str, manifest: Manifest) -> None:
    await client.create(kinds.TRAINED_MODEL, _inside(manifest, namespace))


async def _tell(client: KubeHttp, name: str, status: Manifest) -> None:
    await client.merge_patch(kinds.TRAINED_MODEL, BARE, name, {"status": status}, subresource="status")


def _inside(manifest: Manifest, namespace: str) -> Manifest:
    return manifest | {"metadata": {"name": manifest["metadata"]["name"], "namespace": namespace}}


if __name__ == "__main__":
    main()
