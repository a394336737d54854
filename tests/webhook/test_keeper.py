"""The certificate in the cluster: shared by replicas, registered, healed, and rotated without a gap."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from manyserve.api.errors import StartupError
from manyserve.cluster.client import KubeClient
from manyserve.cluster.errors import ClusterError
from manyserve.webhook.certs import rotation as keeper_module
from manyserve.webhook.certs.check import ensure, is_trusted
from manyserve.webhook.certs.issue import CA_LIFE, LEAF_LIFE, KeyPair, issue_leaf
from manyserve.webhook.certs.reload import BadPairError, ReloadableTls
from manyserve.webhook.certs.rotation import FileSource, SelfSignedSource, first_refresh, run_rotation
from manyserve.webhook.certs.secret import write
from manyserve.webhook.metrics import Metrics
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served
from tests.support.make import Manifest

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("w.system.svc",)
SECRET = "/api/v1/namespaces/system/secrets/w-certificate"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w"


def api() -> FakeApi:
    """Return an API server with what the chart makes."""
    found = FakeApi(stateful=True)
    found.put(SECRET, {"metadata": {"name": "w-certificate", "namespace": "system"}})
    service = {"service": {"name": "w", "path": "/validate"}}
    found.put(CONFIGURATION, {"metadata": {"name": "w"}, "webhooks": [{"name": "validate", "clientConfig": service}]})
    return found


def keeper(client: KubeClient, now: Callable[[], datetime] = lambda: NOW) -> SelfSignedSource:
    return SelfSignedSource(ReloadableTls(), client, "system", "w-certificate", "w", NAMES, now)


def bundle_in(server: FakeApi) -> bytes:
    return base64.b64decode(server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"])


async def test_an_empty_secret_is_filled_and_the_authority_is_registered() -> None:
    server = api()
    async with served(server) as client:
        first = keeper(client)
        await first_refresh(first)
        assert first.tls.pair is not None
        assert base64.b64decode(server.objects[SECRET]["data"]["bundle.crt"]) == bundle_in(server)
        assert server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["service"]["name"] == "w"


async def test_nothing_is_written_while_all_is_well() -> None:
    server = api()
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        before = list(server.writes)
        await first.refresh()
        await keeper(client).refresh()
        assert server.writes == before


async def test_two_replicas_that_start_together_end_with_one_certificate() -> None:
    server = api()
    async with served(server) as client:
        both = keeper(client), keeper(client)
        await asyncio.gather(*(each.refresh() for each in both))
        for each in both:
            await each.refresh()
        assert both[0].tls.pair == both[1].tls.pair
        assert server.writes.count(f"PUT {SECRET}") == 1


async def test_whoever_writes_second_takes_what_the_first_wrote() -> None:
    server = api()
    theirs = ensure(None, NAMES, NOW)
    secret = server.objects[SECRET] | {"data": write(theirs)}
    async with served(server) as client:
        server.before_put.append(secret)
        late = keeper(client)
        await late.refresh()
        assert late.tls.pair == theirs.leaf


@pytest.mark.parametrize("reset", ["", "AAAA"])
async def test_a_bundle_that_an_upgrade_has_reset_comes_back(reset: str) -> None:
    server = api()
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        registered = bundle_in(server)
        configuration: Manifest = server.objects[CONFIGURATION]
        configuration["webhooks"][0]["clientConfig"]["caBundle"] = reset
        server.put(CONFIGURATION, configuration)
        await first.refresh()
        assert bundle_in(server) == registered


async def test_a_new_authority_is_registered_one_look_before_its_leaf_is_served() -> None:
    server, now = api(), [NOW]
    async with served(server) as client:
        first = keeper(client, lambda: now[0])
        await first.refresh()
        old, registered = first.tls.pair, bundle_in(server)
        now[0] = NOW + CA_LIFE * 2 / 3 + timedelta(days=1)
        await first.refresh()
        assert registered in bundle_in(server)
        assert bundle_in(server) != registered
        assert first.tls.pair == old
        await first.refresh()
        assert first.tls.pair != old


async def test_a_secret_that_was_emptied_is_filled_and_served_at_once() -> None:
    server = api()
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        old = first.tls.pair
        del server.objects[SECRET]["data"]
        await first.refresh()
        assert first.tls.pair != old
        assert first.tls.pair is not None
        assert is_trusted(first.tls.pair, bundle_in(server))


async def test_a_missing_registration_is_no_reason_to_stop() -> None:
    server = api()
    del server.objects[CONFIGURATION]
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        assert first.tls.pair is not None


async def test_a_missing_secret_keeps_the_webhook_from_starting_with_a_sentence() -> None:
    server = api()
    del server.objects[SECRET]
    async with served(server) as client:
        with pytest.raises(StartupError, match="no Secret to keep its certificate in; install the chart"):
            await first_refresh(keeper(client))


async def test_trouble_is_counted_and_the_next_look_heals_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "REFRESH_INTERVAL", 0.01)
    server, metrics = api(), Metrics()
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        server.broken = True
        with pytest.raises(ClusterError):
            await first.refresh()
        task = asyncio.create_task(run_rotation(first, metrics, first.tls))
        await eventually(lambda: b"certificate_errors_total 0.0" not in generate_latest(metrics.registry), limit=10)
        assert first.tls.pair is not None
        server.broken = False
        del server.objects[SECRET]["data"]
        await eventually(lambda: "data" in server.objects[SECRET], limit=10)
        task.cancel()
    assert b"expiry_timestamp_seconds 1.7" in generate_latest(metrics.registry)


async def test_a_defect_in_a_look_is_logged_and_does_not_end_renewal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeper_module, "REFRESH_INTERVAL", 0.01)
    looks: list[str] = []

    class Broken:
        async def refresh(self) -> None:
            looks.append("look")
            raise KeyError("defect")

    metrics = Metrics()
    task = asyncio.create_task(run_rotation(Broken(), metrics, ReloadableTls()))
    await eventually(lambda: len(looks) > 2, limit=10)
    assert not task.done()
    task.cancel()
    assert b"certificate_errors_total 0.0" not in generate_latest(metrics.registry)
    assert "KeyError: 'defect'" in caplog.text


async def test_an_expiry_that_cannot_be_shown_does_not_end_renewal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "REFRESH_INTERVAL", 0.01)
    server, metrics = api(), Metrics()
    async with served(server) as client:
        first = keeper(client)
        await first.refresh()
        monkeypatch.setattr(metrics, "certificate", lambda pair: pair.defect)
        task = asyncio.create_task(run_rotation(first, metrics, first.tls))
        await eventually(lambda: b"certificate_errors_total 0.0" not in generate_latest(metrics.registry), limit=10)
        del server.objects[SECRET]["data"]
        await eventually(lambda: "data" in server.objects[SECRET], limit=10)
        task.cancel()


def put(folder: Path, pair: KeyPair) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)


async def test_a_folder_renewed_halfway_leaves_the_old_pair_until_it_is_whole(tmp_path: Path) -> None:
    old, new = ensure(None, NAMES, NOW).leaf, ensure(None, NAMES, NOW).leaf
    put(tmp_path, old)
    folder = folder_keeper(tmp_path)
    await folder.refresh()
    (tmp_path / "tls.crt").write_bytes(new.certificate)
    with pytest.raises(BadPairError, match="the certificate and its key cannot be used"):
        await folder.refresh()
    assert folder.tls.pair == old
    put(tmp_path, new)
    await folder.refresh()
    assert folder.tls.pair == new


@pytest.mark.parametrize(
    ("issued_at", "names", "sentence"),
    [
        (NOW - 2 * LEAF_LIFE, NAMES, "the certificate expired at 2025-12-02"),
        (NOW + LEAF_LIFE, NAMES, "the certificate is not valid before 2026-01-30"),
        (NOW, ("v.system.svc",), r"the certificate is for v\.system\.svc, and clients connect to w\.system\.svc"),
    ],
    ids=["expired", "not yet valid", "wrong name"],
)
async def test_a_pair_that_clients_would_refuse_leaves_the_old_one_and_never_starts_a_webhook(
    tmp_path: Path, issued_at: datetime, names: tuple[str, ...], sentence: str
) -> None:
    good = ensure(None, NAMES, NOW)
    put(tmp_path, good.leaf)
    folder = folder_keeper(tmp_path)
    await folder.refresh()
    put(tmp_path, issue_leaf(good.authority, names, issued_at))
    with pytest.raises(BadPairError, match=sentence):
        await folder.refresh()
    assert folder.tls.pair == good.leaf
    with pytest.raises(StartupError, match=f"the webhook has no certificate: .*{sentence}"):
        await first_refresh(folder_keeper(tmp_path))


async def test_a_pair_that_ends_while_it_is_served_is_told_at_each_look(tmp_path: Path) -> None:
    now = [NOW]
    put(tmp_path, ensure(None, NAMES, NOW).leaf)
    folder = FileSource(ReloadableTls(), tmp_path, NAMES[0], lambda: now[0])
    await folder.refresh()
    now[0] = NOW + LEAF_LIFE + timedelta(days=1)
    for _ in range(2):
        with pytest.raises(BadPairError, match="the certificate expired at 2026-01-31"):
            await folder.refresh()


async def test_an_empty_folder_keeps_the_webhook_from_starting_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"the webhook has no certificate: .*tls\.crt"):
        await first_refresh(folder_keeper(tmp_path))


def folder_keeper(folder: Path) -> FileSource:
    return FileSource(ReloadableTls(), folder, NAMES[0], lambda: NOW)
