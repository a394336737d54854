"""Row 21: the shipped roles of both programs in each scope. No right is missing, and each is used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.webhook.certs.issue import issue_authority, issue_leaf
from tests.contract.stage import configure
from tests.faults.env import FaultEnv
from tests.faults.exchange import Line
from tests.faults.proxy import proxying
from tests.faults.rights import (
    NAME,
    TAKES_A_MINUTE,
    Right,
    given,
    of_program,
    refused,
    revoke,
    used,
    with_shipped_rights,
)
from tests.support.control_plane import new_namespace
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl
from tests.support.programs import WEBHOOK, free_port, program, read
from tests.support.scoped import KINDS, REGISTERED, grant

Scope = Callable[[str], tuple[tuple[str, ...], dict[str, str]]]
"""Returns the values of the chart and the settings of the programs, for the namespace with the hosts."""
CONFIG = "inferenceservice-config"
BY_NAME = r"matchLabels.kubernetes\.io/metadata\.name"
MOUNTED = (
    "webhook.certificate.existingSecret=mine",
    "webhook.certificate.caBundle=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
)


def everywhere(namespace: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """All namespaces; the API server asks the webhook about one, so that other tests are not reviewed."""
    return (f"webhook.namespaceSelector.{BY_NAME}={namespace}",), {"MANYSERVE_WATCH_NAMESPACES": ""}


def by_list(namespace: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """A list with one namespace."""
    return (f"scope.namespaces={{{namespace}}}",), {"MANYSERVE_WATCH_NAMESPACES": namespace}


def by_selector(namespace: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """A selector of one namespace, by the label with its name."""
    selector = json.dumps({"matchLabels": {"kubernetes.io/metadata.name": namespace}})
    settings = {"MANYSERVE_WATCH_NAMESPACES": "", "MANYSERVE_NAMESPACE_SELECTOR": selector}
    return (f"scope.namespaceSelector.{BY_NAME}={namespace}",), settings


@pytest.fixture
def release(api_server: Cluster) -> Iterator[Kubectl]:
    """kubectl in the namespace of a release, in which there is no host."""
    with new_namespace(api_server) as kubectl:
        configure(kubectl)
        yield kubectl


@pytest.mark.parametrize("scope", [by_list, by_selector])
async def test_fault_21_operator_of_a_scope_lacks_no_right_and_uses_each_that_the_scope_adds(
    env: FaultEnv, release: Kubectl, scope: Scope
) -> None:
    """The rules where the hosts are equal those without a scope, which the other test of this row covers."""
    values, settings = scope(env.kubectl.namespace)
    async with with_shipped_rights(env, *values, release=release, settings=settings) as roles:
        await env.furnish()
        await asyncio.to_thread(release, "patch", "configmap", CONFIG, "-p", json.dumps({"data": {"ingress": "{"}}))
        await eventually_in_thread(lambda: of_config(release), "the operator reports the configuration")
        await env.change()
        await env.right()
        added = {each for each in given(roles) if each[2] == release.namespace or each[1] == "namespaces"}
        assert len(added) > len(TAKES_A_MINUTE)
        await eventually(lambda: unused(added, by_operator(env)) == [], f"each of {added} is used")
        assert refused(by_operator(env)) == []
        await env.judge()


def of_config(release: Kubectl) -> bool:
    """Return whether there is an Event about the configuration."""
    return any(each["involvedObject"]["name"] == CONFIG for each in release.list("events"))


@pytest.mark.parametrize("mounted", [False, True], ids=["self-signed", "mounted"])
@pytest.mark.parametrize("scope", [everywhere, by_list, by_selector])
async def test_fault_21_webhook_uses_each_of_its_shipped_rights_and_lacks_none(
    api_server: Cluster,
    kubectl: Kubectl,
    release: Kubectl,
    figures: Figures,
    tmp_path: Path,
    scope: Scope,
    mounted: bool,
) -> None:
    values, settings = scope(kubectl.namespace)
    name, port, log = f"{release.namespace}-webhook", free_port(), tmp_path / "log"
    if mounted:
        values, settings = (*values, *MOUNTED), settings | certificate_in(tmp_path, f"{name}.{release.namespace}.svc")
    settings |= {
        "MANYSERVE_WEBHOOK_PORT": str(port),
        "MANYSERVE_WEBHOOK_SERVICE": name,
        "MANYSERVE_WEBHOOK_SECRET": f"{name}-certificate",
        "MANYSERVE_WEBHOOK_CONFIGURATION": name,
    }
    manifests = await asyncio.to_thread(grant, release, *values, kinds=(*KINDS, *REGISTERED))
    rights = given(of_program(manifests, "webhook"))
    try:
        async with proxying(api_server.kubeconfig) as proxy:
            token = (await asyncio.to_thread(release, "create", "token", name)).strip()
            config = proxy.kubeconfig(name, tmp_path, token)
            with program(config, release.namespace, log, *WEBHOOK, settings=settings) as running:
                await eventually_in_thread(lambda: read(running.metrics, "/readyz") == "ok\n", f"it is ready: {log}")
                await eventually(lambda: unused(rights, proxy.history) == [], f"each of {rights} is used")
                assert refused(proxy.history) == []
    finally:
        await revoke(release)
    what = f"{scope.__name__.replace('_', ' ')}, {'a mounted' if mounted else 'its own'} certificate"
    figures.take(f"21 rights of the webhook, {what}: each is used, how many", len(rights), "")


def unused(rights: set[Right], history: list[Line]) -> list[Right]:
    """Return the rights that no request needed, except those that take a minute."""
    return sorted(each for each in rights - used(history) if each[:2] not in TAKES_A_MINUTE)


def by_operator(env: FaultEnv) -> list[Line]:
    """Return the requests of the operator with the shipped rights."""
    return [each for each in env.proxy.history if each.client == NAME]


def certificate_in(folder: Path, service: str) -> dict[str, str]:
    """Write a certificate of a Service as another program mounts it, and return the setting of its folder."""
    now = datetime.now(UTC)
    leaf = issue_leaf(issue_authority(now), (service,), now)
    for name, content in (("tls.crt", leaf.certificate), ("tls.key", leaf.key)):
        (folder / name).write_bytes(content)
    return {"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": str(folder)}
