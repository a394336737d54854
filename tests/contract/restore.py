"""Environment of the restore and deletion tests: a user's namespace, and an operator configured in another one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass

import yaml

from localcluster.paths import Cluster
from manyserve.api import names
from manyserve.cluster.client import KubeClient
from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.operator.operator import Operator
from tests.contract.kubelet import kubelet
from tests.contract.stage import HOST, configure, running
from tests.support import make
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually_in_thread
from tests.support.figures import LONG, Figures
from tests.support.kubectl import Kubectl, Manifest, condition

MODELS = ("a", "b", "c", *(f"m-{number:02}" for number in range(27 if LONG else 0)))
GROUP = names.GROUP


@dataclass
class RestoreEnv:
    """A user's namespace, and an operator that is configured in another one."""

    kubectl: Kubectl
    client: KubeClient
    agent_port: int
    configured_in: str

    def operator(
        self, namespace: str | None = None, *, others: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[Operator]:
        """Run the operator for the user's namespace or for another one, and for others beside it."""
        watched = namespace or self.kubectl.namespace
        return running(self.client, watched, self.agent_port, configured_in=self.configured_in, others=others)

    async def do(self, *words: str, text: str | None = None) -> str:
        """Run kubectl beside the operator."""
        return await asyncio.to_thread(self.kubectl, *words, text=text)

    async def set_up(self, *models: str) -> None:
        """Create a host with models, and wait until they are served."""
        models = models or MODELS
        manifests = [make.host_object(memory="64Gi"), *(make.model_object(each, memory="1Mi") for each in models)]
        await self.do("apply", "-f", "-", text=yaml.safe_dump_all(map(self.kubectl.here, manifests)))
        await self.served(*models)

    async def served(self, *models: str) -> None:
        """Wait until these models, and no others, are Ready."""
        await eventually_in_thread(lambda: self.ready() == sorted(models), f"{len(models)} models are served", 60)

    def ready(self) -> list[str]:
        """Return the models that are Ready."""
        models = self.kubectl.list("tm")
        return sorted(each["metadata"]["name"] for each in models if condition(each).get("status") == "True")

    def models(self) -> list[str]:
        """Return the existing models."""
        return sorted(each["metadata"]["name"] for each in self.kubectl.list("tm"))

    async def wipe(self) -> None:
        """Delete the namespace, and create it again."""
        await self.do("delete", "namespace", self.kubectl.namespace)
        await self.do("create", "namespace", self.kubectl.namespace)


@asynccontextmanager
async def restore_env_on(server: Cluster) -> AsyncIterator[RestoreEnv]:
    """Create a user's namespace on an API server; no operator runs yet."""
    access = find_cluster_config({"KUBECONFIG": str(server.kubeconfig)})
    with new_namespace(server) as config, new_namespace(server) as users:
        await asyncio.to_thread(configure, config)
        async with KubeClient(access) as client, kubelet(client, users.namespace, HOST) as (_, port):
            yield RestoreEnv(users, client, port, config.namespace)


def take_served(figures: Figures, env: RestoreEnv, what: str) -> None:
    """Record the models that are served after a restore."""
    figures.take(f"models of {len(MODELS)} served after: {what}", len(env.ready()), "", exactly=len(MODELS))


async def place(env: RestoreEnv, *hosts: str) -> None:
    """Create hosts with one placed model each, of the host's name, and one that waits for memory."""
    manifests = [make.host_object(each) for each in hosts]
    manifests += [make.model_object(each, host=each) for each in hosts]
    manifests += [make.model_object(f"{each}-waits", host=each, memory="99Gi") for each in hosts]
    await env.do("apply", "-f", "-", text=yaml.safe_dump_all(map(env.kubectl.here, manifests)))
    await eventually_in_thread(lambda: placed(env) == sorted(hosts), "one model of each is placed")
    await eventually_in_thread(lambda: all("status" in each for each in env.kubectl.list("tm")), "the others wait")


def placed(env: RestoreEnv) -> list[str]:
    """Return the models with a record of their host in the status."""
    return sorted(each["metadata"]["name"] for each in env.kubectl.list("tm") if "placedBy" in each.get("status", {}))


@asynccontextmanager
async def targets(env: RestoreEnv, server: Cluster, count: int) -> AsyncIterator[list[RestoreEnv]]:
    """Create namespaces, each with agents at an address of its own."""
    async with AsyncExitStack() as agents:
        with ExitStack() as namespaces:
            made = [namespaces.enter_context(new_namespace(server)) for _ in range(count)]
            for number, kubectl in enumerate(made):
                address = f"127.0.0.{number + 2}"
                await agents.enter_async_context(
                    kubelet(env.client, kubectl.namespace, HOST, address=address, port=env.agent_port)
                )
            yield [RestoreEnv(each, env.client, env.agent_port, env.configured_in) for each in made]


def namespaces_of(envs: list[RestoreEnv]) -> tuple[str, ...]:
    """Return the namespaces of environments."""
    return tuple(each.kubectl.namespace for each in envs)


def uids(kubectl: Kubectl) -> dict[str, str]:
    """Return the uids of the host and its models."""
    return {each["metadata"]["name"]: each["metadata"]["uid"] for each in kubectl.list("isvc,tm")}


def child(kubectl: Kubectl, kind: str) -> Manifest:
    """Return the only child of this kind."""
    (found,) = kubectl.list(kind, "-l", names.MANAGED_BY)
    return found


def check_routes(kubectl: Kubectl) -> None:
    """Check that the host answers at the URL of its own namespace."""
    url = kubectl.get("isvc", HOST)["status"]["url"]
    assert url == f"http://{HOST}.{kubectl.namespace}.example.com"
    (rule,) = child(kubectl, "ingress")["spec"]["rules"]
    assert url.endswith(rule["host"])
