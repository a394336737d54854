"""Models on claims that no pod may mount: the host's pods stay, and its other models are placed as fast as before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import NotFound
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, condition
from tests.support.placements import Comparison, Placements, placements
from tests.tenants.operating import ROUNDS, operating, ready

Manifest = dict[str, Any]
REFUSALS = {
    "unbound": "it must be Bound to a volume",
    "block": "it must be Filesystem",
    "once": "it must have ReadOnlyMany or ReadWriteMany",
}
"""A part of the sentence about each claim, by its name."""
MODES: dict[str, Manifest] = {
    "unbound": {"accessModes": ["ReadWriteMany"]},
    "block": {"accessModes": ["ReadWriteMany"], "volumeMode": "Block"},
    "once": {"accessModes": ["ReadWriteOnce"]},
}


def claim(name: str) -> Manifest:
    """Return a claim; there is a volume for each but `unbound`."""
    spec = MODES[name] | {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def volume(name: str, namespace: str) -> Manifest:
    """Return the volume of a claim."""
    own = {"capacity": {"storage": "1Gi"}, "storageClassName": "", "claimRef": {"namespace": namespace, "name": name}}
    source = (
        {"local": {"path": "/dev/x"}, "nodeAffinity": AFFINITY} if name == "block" else {"hostPath": {"path": "/x"}}
    )
    spec = MODES[name] | own | source
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{namespace}-{name}"}, "spec": spec}


TERM = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["none"]}]}
AFFINITY = {"required": {"nodeSelectorTerms": [TERM]}}
"""A volume of a block device needs a node; there is none here."""


def create_claims(kubectl: Kubectl) -> None:
    """Create the claims, and volumes for all but one."""
    kubectl.apply(*map(claim, MODES))
    kubectl.apply(*(volume(name, kubectl.namespace) for name in MODES if name != "unbound"))


def phases(kubectl: Kubectl) -> set[str]:
    """Return the phase of each claim."""
    return {f"{each['metadata']['name']} {each['status']['phase']}" for each in kubectl.list("pvc")}


def are_named(kubectl: Kubectl) -> bool:
    """Return whether each model on a claim names the reason why it is not mounted."""
    messages = {each["metadata"]["name"]: condition(each, "Loaded").get("message") for each in kubectl.list("tm")}
    return all(part in str(messages.get(f"on-{name}")) for name, part in REFUSALS.items())


def template(kubectl: Kubectl) -> tuple[int, Manifest]:
    """Return the generation and the pod template of the host's Deployment."""
    deployment = kubectl.get("deployment", names.deployment(HOST))
    return deployment["metadata"]["generation"], deployment["spec"]["template"]


async def create_models(seen: Placements) -> None:
    """Create a model on each claim."""
    for name in MODES:
        model = make.model_object(f"on-{name}", uri=f"pvc://{name}/", memory="1Mi")
        await seen.create(kinds.TRAINED_MODEL, model)


async def delete_models(client: KubeClient, namespace: str) -> None:
    """Delete the model on each claim, and wait until it is gone."""

    async def is_gone(name: str) -> bool:
        try:
            await client.get(kinds.TRAINED_MODEL, namespace, name)
        except NotFound:
            return True
        return False

    for name in MODES:
        await client.delete(kinds.TRAINED_MODEL, namespace, f"on-{name}")
        await eventually(lambda model=f"on-{name}": is_gone(model), "the model is gone")  # type: ignore[misc]


async def test_claims_that_may_not_be_mounted_stop_neither_pods_nor_placements(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path, tenants: Figures
) -> None:
    await asyncio.to_thread(create_claims, kubectl)
    bound = {"unbound Pending", "block Bound", "once Bound"}
    await eventually_in_thread(lambda: phases(kubectl) == bound, "volumes are bound")
    compared = Comparison()
    async with (
        kubelet(client, kubectl.namespace, HOST) as (_, port),
        operating(api_server, kubectl, tmp_path / "log", port, MANYSERVE_WATCH_NAMESPACES=kubectl.namespace),
        placements(client, kubectl.namespace) as seen,
    ):
        objects = (make.host_object(), make.model_object("first", memory="1Mi"))
        await asyncio.to_thread(kubectl.apply, *map(kubectl.here, objects))
        await ready(kubectl, "tm", "first")
        before = await asyncio.to_thread(template, kubectl)
        for _ in range(ROUNDS):
            compared.without.append(await seen.model_in(HOST))
            await create_models(seen)
            await eventually_in_thread(lambda: are_named(kubectl), "each model names its claim")
            compared.beside.append(await seen.model_in(HOST))
            assert await asyncio.to_thread(template, kubectl) == before
            await delete_models(client, kubectl.namespace)
        await asyncio.to_thread(
            kubectl, "delete", "pv", *(f"{kubectl.namespace}-{name}" for name in ("block", "once")), "--wait=false"
        )
        generation = (await asyncio.to_thread(template, kubectl))[0] - before[0]
    tenants.take("changes of a host's pods by claims that may not be mounted", generation, "", exactly=0)
    compared.judge(tenants, "time of another model beside such claims")
    assert generation == 0
