"""The stage: a real API server with models on one host, the webhook's own program, and the floor.

The API server asks the webhook about one namespace and not about the other, so that creates with it and without
it can take turns; for the rest the two are alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.contract.stage import configure
from tests.support import make
from tests.support import webhook as support
from tests.support.control_plane import environment
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl
from tests.support.programs import free_port, program

from bench.webhook.processes import started
from bench.webhook.reviews import HOST_MEMORY, MEMORY, Manifest
from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.cluster.limiter import Limiter

ASKED, BARE = "asked", "bare"
LIMIT = 120.0


@dataclass(frozen=True)
class Listening:
    """A server that answers reviews."""

    pid: int
    port: int
    authority: bytes
    seconds: float = 0.0
    """From its start until it knew everything."""
    known: int = 0
    """The number of objects that it knew then."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}/validate"


async def furnish(server: Cluster, count: int) -> float:
    """Create a host in both namespaces, and so many models on one; return the seconds of the models."""
    admin = Kubectl(environment(server))
    for namespace in (ASKED, BARE):
        admin("create", "namespace", namespace)
    configure(Kubectl(environment(server), ASKED))
    async with KubeClient(find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})) as client:
        for namespace in (ASKED, BARE):
            await client.create(kinds.INFERENCE_SERVICE, _inside(make.host_object(memory=HOST_MEMORY), namespace))
        models = [_inside(make.model_object(f"model-{each:05d}", memory=MEMORY), ASKED) for each in range(count)]
        began = time.monotonic()
        await Limiter().run([partial(_create, client, each) for each in models])
        return time.monotonic() - began


@contextmanager
def webhook(server: Cluster) -> Iterator[Listening]:
    """Run `manyserve webhook`, one replica, asked by the API server about one namespace."""
    kubectl = Kubectl(environment(server), ASKED)
    with (
        TemporaryDirectory(prefix="manyserve-") as folder,
        support.webhook(server.kubeconfig, kubectl, Path(folder)) as running,
    ):
        pid = running.program.process.pid
        ready = next(each for each in running.lines if each["msg"].startswith("ready: "))
        seconds = datetime.fromisoformat(ready["ts"]).timestamp() - started(pid)
        known = int(ready["msg"].split()[1])
        yield Listening(pid, running.port, running.authority.encode(), seconds, known)


@contextmanager
def floor(server: Cluster) -> Iterator[Listening]:
    """Run the floor."""
    port = free_port()
    with TemporaryDirectory(prefix="manyserve-") as name:
        folder = Path(name)
        words = ("-m", "bench.webhook.floor", str(port), name)
        with program(server.kubeconfig, BARE, folder / "log", *words) as running:
            eventually_sync((folder / "ca.crt").is_file, "the floor listens", LIMIT, 0.02)
            yield Listening(running.process.pid, port, (folder / "ca.crt").read_bytes())


def _inside(manifest: Manifest, namespace: str) -> Manifest:
    return manifest | {"metadata": {"name": manifest["metadata"]["name"], "namespace": namespace}}


async def _create(client: KubeClient, manifest: Manifest) -> None:
    await client.create(kinds.TRAINED_MODEL, manifest)
