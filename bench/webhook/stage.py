"""What is measured, for real: an API server with models on one host, the webhook's own program, and the floor.

The API server asks the webhook about one namespace and not about the other, so that creates with it and without
it can take turns; for the rest the two are alike.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from tests.contract.stage import configure
from tests.support import make
from tests.support.control_plane import environment
from tests.support.kubectl import Kubectl, eventually
from tests.support.programs import PROJECT, free_port, program, read

from bench.webhook.reviews import HOST_MEMORY, MEMORY, Manifest
from localcluster.paths import Cluster
from manyserve.cluster import kinds
from manyserve.cluster.access import find_access
from manyserve.cluster.client import KubeHttp
from manyserve.cluster.slots import Slots

ASKED, BARE = "asked", "bare"
SECRET, CONFIGURATION = "manyserve-webhook-certificate", "manyserve-webhook"
SERVICE = "localhost"
"""The certificate is for a Service of this name, so a client on this machine trusts it."""
PROGRAM = ("-c", "from manyserve.cli import main; main()", "webhook")
LABEL = "kubernetes.io/metadata.name"
LIMIT = 120.0


@dataclass(frozen=True)
class Listening:
    """A server that answers reviews."""

    pid: int
    port: int
    authority: bytes
    seconds: float
    """From its start until it was ready."""

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://{SERVICE}:{self.port}/validate"


async def furnish(server: Cluster, count: int) -> float:
    """Have a host in both namespaces, and so many models on the one; return the seconds that the models took."""
    admin = Kubectl(environment(server))
    for namespace in (ASKED, BARE):
        admin("create", "namespace", namespace)
    configure(Kubectl(environment(server), ASKED))
    async with KubeHttp(find_access({"KUBECONFIG": str(server.kubeconfig)})) as client:
        for namespace in (ASKED, BARE):
            await client.create(kinds.INFERENCE_SERVICE, _inside(make.host_object(memory=HOST_MEMORY), namespace))
        models = [_inside(make.model_object(f"model-{each:05d}", memory=MEMORY), ASKED) for each in range(count)]
        began = time.monotonic()
        await Slots().do([partial(_create, client, each) for each in models])
        return time.monotonic() - began


@contextmanager
def webhook(server: Cluster) -> Iterator[Listening]:
    """Run `manyserve webhook`, one replica, asked by the API server about one namespace."""
    port, kubectl = free_port(), Kubectl(environment(server), ASKED)
    kubectl("create", "secret", "generic", SECRET)
    kubectl.apply(_registration(port))
    settings = {
        "MANYSERVE_WEBHOOK_PORT": str(port),
        "MANYSERVE_WEBHOOK_SERVICE": SERVICE,
        "MANYSERVE_WEBHOOK_SECRET": SECRET,
        "MANYSERVE_WEBHOOK_CONFIGURATION": CONFIGURATION,
    }
    with TemporaryDirectory(prefix="manyserve-") as folder:
        began = time.monotonic()
        with program(server.kubeconfig, ASKED, Path(folder) / "log", *PROGRAM, settings=settings) as running:
            eventually(lambda: read(running.metrics, "/readyz") == "ok\n", "the webhook is ready", LIMIT, 0.02)
            seconds = time.monotonic() - began
            registered = kubectl.get("validatingwebhookconfiguration", CONFIGURATION)
            bundle = base64.b64decode(registered["webhooks"][0]["clientConfig"]["caBundle"])
            yield Listening(running.process.pid, port, bundle, seconds)


@contextmanager
def floor(server: Cluster) -> Iterator[Listening]:
    """Run the floor."""
    port = free_port()
    with TemporaryDirectory(prefix="manyserve-") as name:
        folder, began = Path(name), time.monotonic()
        words = ("-m", "bench.webhook.floor", str(port), name)
        with program(server.kubeconfig, BARE, folder / "log", *words) as running:
            eventually((folder / "ca.crt").is_file, "the floor listens", LIMIT, 0.02)
            authority = (folder / "ca.crt").read_bytes()
            yield Listening(running.process.pid, port, authority, time.monotonic() - began)


def _registration(port: int) -> Manifest:
    """Return what the chart registers, for a program on this machine and for one namespace."""
    found: Manifest = yaml.safe_load((PROJECT / "webhooks" / "validatingwebhookconfiguration.yaml").read_text())
    only = {"matchLabels": {LABEL: ASKED}}
    address = {"url": f"https://{SERVICE}:{port}/validate"}
    return found | {
        "webhooks": [each | {"clientConfig": address, "namespaceSelector": only} for each in found["webhooks"]]
    }


def _inside(manifest: Manifest, namespace: str) -> Manifest:
    return manifest | {"metadata": {"name": manifest["metadata"]["name"], "namespace": namespace}}


async def _create(client: KubeHttp, manifest: Manifest) -> None:
    await client.create(kinds.TRAINED_MODEL, manifest)
