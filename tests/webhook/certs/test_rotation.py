"""Rotation of the certificate: shared by replicas, registered, restored, and renewed without a gap."""

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
from manyserve.webhook.certs import rotation
from manyserve.webhook.certs.check import ensure, is_trusted
from manyserve.webhook.certs.issue import CA_LIFE, LEAF_LIFE, KeyPair, issue_leaf
from manyserve.webhook.certs.objects import write
from manyserve.webhook.certs.rotation import (
    BadPairError,
    FileSource,
    ReloadableTls,
    SelfSignedSource,
    first_refresh,
    run_rotation,
)
from manyserve.webhook.metrics import Metrics
from tests.support.eventually import eventually
from tests.support.fake_api import FakeApi, served
from tests.support.make import Manifest
from tests.support.tasks import background

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("w.system.svc",)
SECRET = "/api/v1/namespaces/system/secrets/w-certificate"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/w"


def api() -> FakeApi:
    """Return an API server with the objects of the chart."""
    server = FakeApi(stateful=True)
    server.put(SECRET, {"metadata": {"name": "w-certificate", "namespace": "system"}})
    service = {"service": {"name": "w", "path": "/validate"}}
    server.put(CONFIGURATION, {"metadata": {"name": "w"}, "webhooks": [{"name": "validate", "clientConfig": service}]})
    return server


def self_signed(client: KubeClient, now: Callable[[], datetime] = lambda: NOW) -> SelfSignedSource:
    return SelfSignedSource(ReloadableTls(), client, "system", "w-certificate", "w", NAMES, now)


def bundle_in(server: FakeApi) -> bytes:
    return base64.b64decode(server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"])


async def test_rotation_fills_empty_secret_and_registers_authority() -> None:
    server = api()
    async with served(server) as client:
        source = self_signed(client)
        await first_refresh(source)
        assert source.tls.pair is not None
        assert base64.b64decode(server.objects[SECRET]["data"]["bundle.crt"]) == bundle_in(server)
        assert server.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["service"]["name"] == "w"


async def test_rotation_writes_nothing_without_need() -> None:
    server = api()
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        before = list(server.writes)
        await source.refresh()
        await self_signed(client).refresh()
        assert server.writes == before


async def test_rotation_of_two_replicas_ends_with_one_certificate() -> None:
    server = api()
    async with served(server) as client:
        both = self_signed(client), self_signed(client)
        await asyncio.gather(*(source.refresh() for source in both))
        for source in both:
            await source.refresh()
        assert both[0].tls.pair == both[1].tls.pair
        assert server.writes.count(f"PUT {SECRET}") == 1


async def test_rotation_reads_certificate_of_first_writer_after_conflict() -> None:
    server = api()
    theirs = ensure(None, NAMES, NOW)
    secret = server.objects[SECRET] | {"data": write(theirs)}
    async with served(server) as client:
        server.before_put.append(secret)
        late = self_signed(client)
        await late.refresh()
        assert late.tls.pair == theirs.leaf


@pytest.mark.parametrize("reset", ["", "AAAA"])
async def test_rotation_restores_bundle_after_upgrade(reset: str) -> None:
    server = api()
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        registered = bundle_in(server)
        configuration: Manifest = server.objects[CONFIGURATION]
        configuration["webhooks"][0]["clientConfig"]["caBundle"] = reset
        server.put(CONFIGURATION, configuration)
        await source.refresh()
        assert bundle_in(server) == registered


async def test_rotation_registers_authority_one_refresh_before_its_leaf_is_served() -> None:
    server, now = api(), [NOW]
    async with served(server) as client:
        source = self_signed(client, lambda: now[0])
        await source.refresh()
        old, registered = source.tls.pair, bundle_in(server)
        now[0] = NOW + CA_LIFE * 2 / 3 + timedelta(days=1)
        await source.refresh()
        assert registered in bundle_in(server)
        assert bundle_in(server) != registered
        assert source.tls.pair == old
        await source.refresh()
        assert source.tls.pair != old


async def test_rotation_fills_emptied_secret_and_serves_leaf_at_once() -> None:
    server = api()
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        old = source.tls.pair
        del server.objects[SECRET]["data"]
        await source.refresh()
        assert source.tls.pair != old
        assert source.tls.pair is not None
        assert is_trusted(source.tls.pair, bundle_in(server))


async def test_rotation_continues_without_webhook_configuration() -> None:
    server = api()
    del server.objects[CONFIGURATION]
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        assert source.tls.pair is not None


async def test_first_refresh_fails_without_secret() -> None:
    server = api()
    del server.objects[SECRET]
    async with served(server) as client:
        with pytest.raises(StartupError, match="no Secret to keep its certificate in; install the chart"):
            await first_refresh(self_signed(client))


async def test_rotation_counts_errors_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "REFRESH_INTERVAL", 0.01)
    server, metrics = api(), Metrics()
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        server.broken = True
        with pytest.raises(ClusterError):
            await source.refresh()
        async with background(run_rotation(source, metrics, source.tls)):
            await eventually(lambda: b"certificate_errors_total 0.0" not in generate_latest(metrics.registry))
            assert source.tls.pair is not None
            server.broken = False
            del server.objects[SECRET]["data"]
            await eventually(lambda: "data" in server.objects[SECRET])
    assert b"expiry_timestamp_seconds 1.7" in generate_latest(metrics.registry)


async def test_rotation_survives_defect_in_refresh(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rotation, "REFRESH_INTERVAL", 0.01)
    refreshes: list[str] = []

    class Broken:
        async def refresh(self) -> None:
            refreshes.append("refresh")
            raise KeyError("defect")

    metrics = Metrics()
    async with background(run_rotation(Broken(), metrics, ReloadableTls())):
        await eventually(lambda: len(refreshes) > 2)
    assert b"certificate_errors_total 0.0" not in generate_latest(metrics.registry)
    assert "KeyError: 'defect'" in caplog.text


async def test_rotation_survives_defect_in_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "REFRESH_INTERVAL", 0.01)
    server, metrics = api(), Metrics()
    async with served(server) as client:
        source = self_signed(client)
        await source.refresh()
        monkeypatch.setattr(metrics, "certificate", lambda pair: pair.defect)
        async with background(run_rotation(source, metrics, source.tls)):
            await eventually(lambda: b"certificate_errors_total 0.0" not in generate_latest(metrics.registry))
            del server.objects[SECRET]["data"]
            await eventually(lambda: "data" in server.objects[SECRET])


def put(folder: Path, pair: KeyPair) -> None:
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)


async def test_file_source_keeps_old_pair_until_folder_is_complete(tmp_path: Path) -> None:
    old, new = ensure(None, NAMES, NOW).leaf, ensure(None, NAMES, NOW).leaf
    put(tmp_path, old)
    source = file_source(tmp_path)
    await source.refresh()
    (tmp_path / "tls.crt").write_bytes(new.certificate)
    with pytest.raises(BadPairError, match="the certificate and its key cannot be used"):
        await source.refresh()
    assert source.tls.pair == old
    put(tmp_path, new)
    await source.refresh()
    assert source.tls.pair == new


@pytest.mark.parametrize(
    ("issued_at", "names", "sentence"),
    [
        (NOW - 2 * LEAF_LIFE, NAMES, "the certificate expired at 2025-12-02"),
        (NOW + LEAF_LIFE, NAMES, "the certificate is not valid before 2026-01-30"),
        (NOW, ("v.system.svc",), r"the certificate is for v\.system\.svc, and clients connect to w\.system\.svc"),
    ],
    ids=["expired", "not yet valid", "wrong name"],
)
async def test_file_source_refuses_pair_that_clients_would_refuse(
    tmp_path: Path, issued_at: datetime, names: tuple[str, ...], sentence: str
) -> None:
    good = ensure(None, NAMES, NOW)
    put(tmp_path, good.leaf)
    source = file_source(tmp_path)
    await source.refresh()
    put(tmp_path, issue_leaf(good.authority, names, issued_at))
    with pytest.raises(BadPairError, match=sentence):
        await source.refresh()
    assert source.tls.pair == good.leaf
    with pytest.raises(StartupError, match=f"the webhook has no certificate: .*{sentence}"):
        await first_refresh(file_source(tmp_path))


async def test_file_source_reports_expired_pair_at_each_refresh(tmp_path: Path) -> None:
    now = [NOW]
    put(tmp_path, ensure(None, NAMES, NOW).leaf)
    source = FileSource(ReloadableTls(), tmp_path, NAMES[0], lambda: now[0])
    await source.refresh()
    now[0] = NOW + LEAF_LIFE + timedelta(days=1)
    for _ in range(2):
        with pytest.raises(BadPairError, match="the certificate expired at 2026-01-31"):
            await source.refresh()


async def test_first_refresh_fails_with_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"the webhook has no certificate: .*tls\.crt"):
        await first_refresh(file_source(tmp_path))


def file_source(folder: Path) -> FileSource:
    return FileSource(ReloadableTls(), folder, NAMES[0], lambda: NOW)
