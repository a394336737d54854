"""`manyserve webhook` as a process of its own, asked by a real API server about one namespace.

It is registered as it is shipped and has the shipped rights and nothing more; its certificate is its own, and it
writes its CA into its registration itself.
Two things differ from a cluster: the API server runs beside it and not before a Service, so the registration has
a URL on this machine; and a namespace selector keeps it from the namespaces of other tests.
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
"""The certificate is for the Service's name, so this is its name."""
SECRET = "manyserve-webhook-certificate"
PROBE = make.model_object("probe", uri="https://169.254.169.254/latest")
"""The CRD lets it in; the webhook alone refuses it, whatever else there is."""
LIMIT = 60.0
"""Seconds for a start, or an end, on a busy machine."""


@dataclass(frozen=True)
class Webhook:
    """A running webhook that the API server asks."""

    program: Program
    port: int
    """Reviews, over TLS; the certificate is for `localhost`."""
    registration: str
    """The name of its ValidatingWebhookConfiguration."""
    log: Path
    kubectl: Kubectl

    @property
    def authority(self) -> str:
        """The CA that it registered, PEM."""
        found = self.kubectl.get("validatingwebhookconfiguration", self.registration)
        return base64.b64decode(found["webhooks"][0]["clientConfig"]["caBundle"]).decode()

    @property
    def metrics(self) -> str:
        """What it counts."""
        return read(self.program.metrics, "/metrics")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log; a line that is no JSON fails the test."""
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
    """Run the webhook for kubectl's namespace; the API server asks it when this yields, and no more afterwards.

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
    """Run the webhook for a test that has an event loop which must go on meanwhile."""
    with ExitStack() as stack:
        running = webhook(kubeconfig, kubectl, folder, policy=policy, **other)
        yield await asyncio.to_thread(stack.enter_context, running)
        await asyncio.to_thread(stack.close)


def is_ready(running: Program, log: Path) -> bool:
    """Tell whether the webhook knows what there is; one that has ended fails the test with its last words."""
    assert running.process.poll() is None, log.read_text()
    return read(running.metrics, "/readyz") == "ok\n"


def is_asked(kubectl: Kubectl, group: str = KSERVE) -> bool:
    """Tell whether the API server asks the webhook about the namespace: it refuses the probe."""
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

    The API server tells nobody when it has taken a registration up, nor when it has dropped one.
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
    """Take a registration away, if it is still there."""
    kubectl("delete", "validatingwebhookconfiguration", name, "--ignore-not-found")
