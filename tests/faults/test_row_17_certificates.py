"""Row 17: no request is refused during any change of the webhook's certificate.

The webhook is the real program with `failurePolicy: Fail`, and the API server calls it. A self-signed certificate is in
a Secret, which the webhook repairs. The certificate of another program is in a folder, where the webhook waits.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from manyserve.webhook.certs.check import Issued
from manyserve.webhook.certs.issue import CA_LIFE, LEAF_LIFE, KeyPair, issue_authority, issue_leaf
from manyserve.webhook.certs.objects import SECRET as SECRETS
from manyserve.webhook.certs.objects import read as read_secret
from manyserve.webhook.certs.objects import write
from manyserve.webhook.settings import WebhookSettings
from tests.contract.stage import configure
from tests.faults.env import LONG
from tests.faults.short_timeouts import REFRESH
from tests.faults.user_load import CONNECTORS, RATE, LoadResult, user_load
from tests.support import make
from tests.support.eventually import SLOW_PAUSE, eventually, eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, Refused
from tests.support.programs import WEBHOOK
from tests.support.webhook import SECRET, SERVICE, Webhook, webhook_beside

WORDS = WEBHOOK if LONG else ("-m", "tests.faults.short_timeouts", "webhook")
SHORT_REFRESH = {} if LONG else {REFRESH: "2"}
"""In the short form the webhook refreshes its certificate every 2 s, not every 10 s."""
LIMIT = 60.0
DAY = timedelta(days=1)
Change = Callable[[Issued, tuple[str, ...]], Issued]


def _leaf(issued_ago: timedelta = timedelta(), name: str = "") -> Change:
    def change(issued: Issued, names: tuple[str, ...]) -> Issued:
        leaf = issue_leaf(issued.authority, (name,) if name else names, datetime.now(UTC) - issued_ago)
        return replace(issued, leaf=leaf)

    return change


def _torn(issued: Issued, names: tuple[str, ...]) -> Issued:
    other = issue_leaf(issued.authority, names, datetime.now(UTC))
    return replace(issued, leaf=KeyPair(issued.leaf.certificate, other.key))


def _foreign(issued: Issued, names: tuple[str, ...]) -> Issued:
    now = datetime.now(UTC)
    return replace(issued, leaf=issue_leaf(issue_authority(now), names, now))


def _expiring_authority(issued: Issued, _: tuple[str, ...]) -> Issued:
    expiring = issue_authority(datetime.now(UTC) - CA_LIFE * 2 / 3 - DAY)
    return Issued(expiring, expiring.certificate + issued.bundle, issued.leaf)


CHANGES: dict[str, Change] = {
    "two thirds of its life are over": _leaf(LEAF_LIFE * 2 / 3 + DAY),
    "expired": _leaf(LEAF_LIFE + DAY),
    "not yet valid": _leaf(-2 * DAY),
    "for another name": _leaf(name="other.svc"),
    "torn": _torn,
    "another CA's": _foreign,
    "a CA of which two thirds are over": _expiring_authority,
}


@asynccontextmanager
async def _asked(
    server: Cluster, kubectl: Kubectl, folder: Path, authority: bytes | None = None, **more: str
) -> AsyncIterator[Webhook]:
    """Run the webhook in a namespace with a host."""
    await asyncio.to_thread(configure, kubectl)
    await asyncio.to_thread(kubectl.apply, make.host_object() | {"metadata": {"name": "triton-mms"}})
    settings = {"words": WORDS, "more": SHORT_REFRESH | more, "authority": authority}
    async with webhook_beside(server.kubeconfig, kubectl, folder, policy="Fail", **settings) as found:
        yield found


async def test_fault_17_rotation_under_load_refuses_no_request(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path, figures: Figures
) -> None:
    async with _asked(api_server, kubectl, tmp_path) as webhook, user_load(api_server, client, webhook) as result:
        for what, change in CHANGES.items():
            await _heals(client, webhook, change, what)
        await _goes_on(result)
        figures.take(f"17 {len(CHANGES)} rotations: creates a second meanwhile", result.rate, f"of {RATE:g}")
        figures.take("17 rotations: creates that were answered", result.answered, "")
        figures.take("17 rotations: creates and new connections that were refused", len(result.refused), "", exactly=0)
        assert result.refused == []


async def _heals(client: KubeClient, webhook: Webhook, change: Change, what: str) -> None:
    """Change the Secret, and wait until the webhook has written and serves another certificate."""
    namespace = webhook.kubectl.namespace
    names = WebhookSettings(namespace=namespace, service=SERVICE).names
    stored = await client.get(SECRETS, namespace, SECRET)
    before = read_secret(stored["data"])
    assert before is not None
    changed = write(change(before, names))
    await client.replace(SECRETS, stored | {"data": changed})

    async def is_healed() -> bool:
        data = (await client.get(SECRETS, namespace, SECRET))["data"]
        issued = read_secret(data)
        return data != changed and issued is not None and await _served(webhook) == _text(issued.leaf)

    await eventually(is_healed, f"{what}: it is healed", LIMIT, SLOW_PAUSE)


async def _goes_on(result: LoadResult) -> None:
    """Continue the load for a moment: clients with late news of the last change connect after it."""
    creates, connections = result.answered, result.connected
    await eventually(
        lambda: (result.answered > creates + 100 and result.connected > connections + 2 * CONNECTORS) or result.refused,
        "there is a load",
        LIMIT,
        SLOW_PAUSE,
    )


async def test_fault_17_emptied_bundle_refuses_creates_until_webhook_restores_it(
    api_server: Cluster, kubectl: Kubectl, tmp_path: Path, figures: Figures
) -> None:
    async with _asked(api_server, kubectl, tmp_path) as webhook:
        wanted = await asyncio.to_thread(lambda: webhook.authority)
        began = await _refused_without_a_bundle(kubectl, webhook)
        await eventually_in_thread(lambda: _refusal(kubectl) == "", "creates are let in again", LIMIT)
        figures.take("17 caBundle emptied: seconds until creates are let in", time.monotonic() - began, "s", below=12)
        assert await asyncio.to_thread(lambda: webhook.authority) == wanted


async def _refused_without_a_bundle(kubectl: Kubectl, webhook: Webhook) -> float:
    """Empty the bundle until a create is refused before the webhook restores it; return the time of the change."""
    empty = json.dumps([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}])
    for _ in range(10):
        began = time.monotonic()
        name = webhook.registration
        await asyncio.to_thread(kubectl, "patch", "validatingwebhookconfiguration", name, "--type=json", "-p", empty)
        while not await asyncio.to_thread(_has_bundle, kubectl, name):
            if "certificate signed by unknown authority" in await asyncio.to_thread(_refusal, kubectl):
                return began
    raise AssertionError("no create was refused")


def _has_bundle(kubectl: Kubectl, registration: str) -> bool:
    configuration = kubectl.get("validatingwebhookconfiguration", registration)
    return bool(configuration["webhooks"][0]["clientConfig"].get("caBundle"))


def _refusal(kubectl: Kubectl) -> str:
    model = make.model_object() | {"metadata": {"name": "one"}}
    try:
        kubectl("create", "--dry-run=server", "-f", "-", text=json.dumps(model))
    except Refused as refused:
        return str(refused)
    return ""


async def test_fault_17_folder_provides_complete_and_good_pairs_only(
    api_server: Cluster, kubectl: Kubectl, client: KubeClient, tmp_path: Path, figures: Figures
) -> None:
    names, folder = WebhookSettings(namespace=kubectl.namespace, service=SERVICE).names, tmp_path / "certificate"
    folder.mkdir()
    authority = issue_authority(datetime.now(UTC))

    def new(ago: timedelta = timedelta(), only: tuple[str, ...] = names) -> KeyPair:
        return issue_leaf(authority, only, datetime.now(UTC) - ago)

    _put(folder, new())
    place = {"MANYSERVE_WEBHOOK_CERTIFICATE_FOLDER": str(folder)}
    async with (
        _asked(api_server, kubectl, tmp_path, authority.certificate, **place) as webhook,
        user_load(api_server, client, webhook) as result,
    ):
        for order in (("tls.crt", "tls.key"), ("tls.key", "tls.crt")):
            pair = new()
            await _kept(webhook, lambda: _put(folder, pair, order[0]))  # noqa: B023  called at once
            await _taken(webhook, lambda: _put(folder, pair, order[1]), pair)  # noqa: B023
        for bad in (new(LEAF_LIFE + DAY), new(-2 * DAY), new(only=("other.svc",)), KeyPair(b"", b"")):
            await _kept(webhook, lambda: _put(folder, bad))  # noqa: B023
        await _kept(webhook, (folder / "tls.key").unlink)
        last = new()
        await _taken(webhook, lambda: _put(folder, last), last)
        await _goes_on(result)
        figures.take("17 files in each order: creates and new connections refused", len(result.refused), "", exactly=0)
        assert result.refused == []


def _put(folder: Path, pair: KeyPair, *files: str) -> None:
    texts = {"tls.crt": pair.certificate, "tls.key": pair.key}
    for file in files or texts:
        (folder / file).write_bytes(texts[file])


async def _kept(webhook: Webhook, change: Callable[[], object]) -> None:
    """Put a bad pair into the folder: it is counted, and the old pair stays in use."""
    before, counted = await _served(webhook), _errors(webhook)
    change()
    await eventually_in_thread(lambda: _errors(webhook) > counted, "the look that failed is counted", LIMIT)
    assert await _served(webhook) == before


async def _taken(webhook: Webhook, change: Callable[[], object], pair: KeyPair) -> None:
    change()
    await eventually(lambda: _serves(webhook, pair), "the new pair is served", LIMIT, SLOW_PAUSE)


def _errors(webhook: Webhook) -> float:
    match = re.search(r"^certwatcher_read_certificate_errors_total (\S+)$", webhook.metrics, re.MULTILINE)
    assert match
    return float(match[1])


async def _serves(webhook: Webhook, pair: KeyPair) -> bool:
    return await _served(webhook) == _text(pair)


async def _served(webhook: Webhook) -> str:
    return await asyncio.to_thread(ssl.get_server_certificate, (SERVICE, webhook.port), timeout=10)


def _text(pair: KeyPair) -> str:
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(pair.certificate.decode()))
