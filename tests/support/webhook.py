"""`manyserve webhook` as a process, called by a real API server for one namespace.

It has the shipped registration and the shipped rights only. Its certificate is self-signed, and it writes the CA into
its registration itself. Two things differ from a cluster. The API server does not use a Service, so the registration
has a URL on this machine. A namespace selector excludes the namespaces of other tests.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from manyserve.api_group import KSERVE, VARIABLE
from tests.support import make
from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl, Refused
from tests.support.programs import PROJECT, WEBHOOK, Program, free_port, program, read
from tests.support.shipped import shipped_rights

SHIPPED = PROJECT / "webhooks" / "validatingwebhookconfiguration.yaml"
DENIED = 'admission webhook "validate.serving.kserve.io" denied the request'
SERVICE = "localhost"
"""The name of the Service, which is the name in the certificate."""
SECRET = "manyserve-webhook-certificate"
PROBE = make.model_object("probe", uri="https://169.254.169.254/latest")
"""The CRD accepts it; only the webhook refuses it, in any state of the cluster."""
LIMIT = 60.0
"""Seconds for a start or a stop on a busy machine."""


@dataclass(frozen=True)
class Webhook:
    """A running webhook that the API server calls."""

    program: Program
    port: int
    """Reviews, over TLS; the certificate is for `localhost`."""
    registration: str
    """The name of its ValidatingWebhookConfiguration."""
    log: Path
    kubectl: Kubectl

    @property
    def authority(self) -> str:
        """The registered CA, PEM."""
        configuration = self.kubectl.get("validatingwebhookconfiguration", self.registration)
        return base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"]).decode()

    @property
    def metrics(self) -> str:
        """Its metrics."""
        return read(self.program.metrics, "/metrics")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log. A line that is not JSON fails the test."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def webhook(
    kubeconfig: Path,
    kubectl: Kubectl,
    folder: Path,
    *,
    policy: str = "Ignore",
    words: tuple[str, ...] = WEBHOOK,
    more: dict[str, str] | None = None,
    authority: bytes | None = None,
    group: str = KSERVE,
) -> Iterator[Webhook]:
    """Run the webhook for kubectl's namespace. The API server calls it when this yields, and not afterwards.

    The namespace is also where its Secret and `inferenceservice-config` are; that one is the test's to make.
    `more` are further settings, `authority` the CA of a certificate that is not its own, `group` its API group.
    """
    port, log = free_port(), folder / "webhook.log"
    with (
        registered(kubectl, port, policy, authority, group) as name,
        shipped_rights(kubeconfig, kubectl, name, folder, group) as own,
    ):
        settings = {
            VARIABLE: group,
            "MANYSERVE_WEBHOOK_SERVICE": SERVICE,
            "MANYSERVE_WEBHOOK_SECRET": SECRET,
            "MANYSERVE_WEBHOOK_CONFIGURATION": name,
            "MANYSERVE_WEBHOOK_PORT": str(port),
            "MANYSERVE_WATCH_NAMESPACES": "",
        }
        with program(own, kubectl.namespace, log, *words, settings=settings | (more or {})) as running:
            eventually_sync(lambda: is_ready(running, log), f"it is ready: {log}", LIMIT)
            eventually_sync(lambda: is_asked(kubectl, group), "the API server asks the webhook", LIMIT)
            yield Webhook(running, port, name, log, kubectl)
            unregister(kubectl, name)
            eventually_sync(lambda: not is_asked(kubectl, group), "the API server asks the webhook no more", LIMIT)


@asynccontextmanager
async def webhook_beside(
    kubeconfig: Path, kubectl: Kubectl, folder: Path, *, policy: str = "Ignore", **other: Any
) -> AsyncIterator[Webhook]:
    """Run the webhook for a test with an event loop, without blocking the loop."""
    with ExitStack() as stack:
        running = webhook(kubeconfig, kubectl, folder, policy=policy, **other)
        yield await asyncio.to_thread(stack.enter_context, running)
        await asyncio.to_thread(stack.close)


def is_ready(running: Program, log: Path) -> bool:
    """Return whether the webhook is ready. A webhook that has ended fails the test with the end of its log."""
    assert running.process.poll() is None, log.read_text()
    return read(running.metrics, "/readyz") == "ok\n"


def is_asked(kubectl: Kubectl, group: str = KSERVE) -> bool:
    """Return whether the API server calls the webhook for the namespace: the probe is refused."""
    try:
        kubectl.try_out(PROBE | {"apiVersion": f"{group}/v1alpha1"})
    except Refused as refused:
        return DENIED.replace(KSERVE, group) in str(refused)
    return False


@contextmanager
def registered(
    kubectl: Kubectl, port: int, policy: str, authority: bytes | None = None, group: str = KSERVE
) -> Iterator[str]:
    """Have a webhook registered for kubectl's namespace as it is shipped, at a port of this machine.

    The API server does not report when a registration is in force, nor when it is dropped.
    """
    manifest = yaml.safe_load(SHIPPED.read_text().replace(KSERVE, group))
    name = manifest["metadata"]["name"] = f"manyserve-{kubectl.namespace}"
    trust = {"caBundle": base64.b64encode(authority).decode()} if authority else {}
    manifest["webhooks"][0] |= {
        "clientConfig": {"url": f"https://{SERVICE}:{port}/validate"} | trust,
        "failurePolicy": policy,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": kubectl.namespace}},
    }
    kubectl("apply", "-f", "-", text=json.dumps(manifest))
    try:
        yield name
    finally:
        unregister(kubectl, name)


def unregister(kubectl: Kubectl, name: str) -> None:
    """Delete a registration, if it exists."""
    kubectl("delete", "validatingwebhookconfiguration", name, "--ignore-not-found")
