"""Clients that are no API server: large keys, forged creates, many connections, and reviews without a certificate."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manyserve.api.errors import StartupError
from manyserve.webhook.admission import NAME_LIMIT
from manyserve.webhook.bodies import LIMIT as LARGEST_BODY
from manyserve.webhook.callers import Callers
from manyserve.webhook.certs.check import Issued, ensure
from manyserve.webhook.certs.issue import KeyPair, key_of
from manyserve.webhook.reservations import LIFETIME
from manyserve.webhook.sizes import MOST_SEPARATORS, MOST_VALUES
from tests.support.clock import FakeClock
from tests.support.connections import closed_by_peer
from tests.support.eventually import eventually
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import cache_of, review_of
from tests.webhook.serving import ISSUED, RunningWebhook, serving, trusting

MIB = 1024**2
REVIEWS = 40
ROOT = Path(__file__).parents[2]
LONG = "x" * int(6.8 * MIB)
OTHER_CA = ensure(None, ("other",), datetime.now(UTC))
CALLER = ensure(None, ("kube-apiserver",), datetime.now(UTC))


def with_metadata(**fields: str) -> Manifest:
    model = model_object("second")
    return model | {"metadata": model["metadata"] | fields}


def peak_mib() -> float:
    """Return the largest resident memory of this process since `reset_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


async def test_webhook_keeps_no_key_of_megabytes(running: RunningWebhook, tmp_path: Path) -> None:
    body, authority = tmp_path / "body.json", tmp_path / "ca.crt"
    body.write_text(json.dumps(review_of(with_metadata(uid=LONG))))
    authority.write_bytes(ISSUED.bundle)
    arguments = (str(running.port), str(authority), str(body), str(REVIEWS))
    reset_peak()
    before = peak_mib()
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.webhook.flooding", *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    output, _ = await client.communicate()
    assert peak_mib() - before < REVIEWS * 6.8 / 2
    answers = output.decode().splitlines()
    assert len(answers) == REVIEWS
    denied = [each for each in answers if each.startswith("200 ")]
    assert denied
    assert {each[:3] for each in answers} <= {"200", "503"}, "a body that waits too long has no turn"
    for each in denied:
        response = json.loads(each[4:])["response"]
        assert (response["allowed"], response["status"]["code"]) == (False, 400)
        sentence = f"object.metadata.uid has {len(LONG)} characters; it must have at most {NAME_LIMIT}"
        assert response["status"]["message"] == sentence


@pytest.mark.parametrize(
    ("review", "status"),
    [
        (review_of(with_metadata(name=LONG), name="second"), 200),
        (review_of(model_object(), namespace=LONG), 200),
        (review_of(model_object("second"), with_metadata(uid=LONG)), 200),
        (review_of(model_object(), uid=LONG), 400),
    ],
    ids=["name", "namespace", "uid of the old object", "uid of the review"],
)
async def test_webhook_refuses_other_long_names(running: RunningWebhook, review: Any, status: int) -> None:
    answer, text = await running.post(review)
    assert answer == status
    assert f"has {len(LONG)} characters; it must have at most {NAME_LIMIT}" in text
    assert len(text) < 1024


@pytest.mark.parametrize(
    "values",
    [[1] * 990_000, {str(number): 1 for number in range(300_000)}, [[]] * 490_000],
    ids=["list", "map", "nested"],
)
@pytest.mark.parametrize("place", ["args", "labels"])
async def test_webhook_judges_no_object_of_a_million_values(running: RunningWebhook, values: Any, place: str) -> None:
    host = host_object(triton={"args": values} if place == "args" else {})
    if place == "labels":
        host["metadata"] = host["metadata"] | {"labels": values}
    body = json.dumps(review_of(host)).encode()
    reset_peak()
    before = peak_mib()
    status, text = await running.post(body)
    assert peak_mib() - before < 200
    assert status == 200
    assert f"it and the metadata must have at most {MOST_VALUES}" in text


@pytest.mark.parametrize("value", [1, [], {}, {"": {}}], ids=str)
async def test_webhook_parses_no_body_of_millions_of_values(running: RunningWebhook, value: Any) -> None:
    """Such bodies took the event loop for half a second each, and 227 MB."""
    body = json.dumps(review_of(host_object(triton={"args": [value] * 1_100_000})), separators=(",", ":")).encode()
    reset_peak()
    before = peak_mib()
    status, text = await running.post(body[:LARGEST_BODY])
    assert peak_mib() - before < 50
    assert (status, text) == (400, f"the body has more than {MOST_SEPARATORS} brackets and commas\n")


async def test_forged_create_refuses_an_honest_one_for_two_seconds_at_most() -> None:
    clock = FakeClock()
    async with serving(cache_of(host_object(memory="4Gi"), clock=clock)) as running:
        forged = review_of(with_metadata(name="attacker", uid="forged"))
        forged["request"]["object"]["spec"]["model"]["memory"] = "4Gi"
        honest = review_of(model_object("honest"), dryRun=True)

        async def is_allowed() -> bool:
            _, text = await running.post(honest)
            return bool(json.loads(text)["response"]["allowed"])

        await running.post(forged)
        assert not await is_allowed()
        clock.now += LIFETIME
        for _ in range(5):
            await running.post(forged)
            assert await is_allowed()


async def test_connections_of_one_client_replace_its_own() -> None:
    async with serving(cache_of(host_object()), connections=20) as running:
        with flood("127.0.0.1", running.port, 100) as connections:
            assert (await running.post(review_of(model_object())))[0] == 200
            await eventually(lambda: sum(not closed_by_peer(each) for each in connections) < 20)


async def test_client_with_many_connections_takes_none_of_another_one() -> None:
    async with serving(cache_of(host_object()), connections=20) as running:
        with flood("127.0.0.1", running.port, 1) as (honest,), flood("127.0.0.2", running.port, 60) as attacking:
            await eventually(lambda: sum(not closed_by_peer(each) for each in attacking) < 20)
            assert not closed_by_peer(honest)


@contextmanager
def flood(source: str, port: int, count: int) -> Iterator[list[socket.socket]]:
    """Open connections from an address."""
    connections = [socket.create_connection(("127.0.0.1", port), source_address=(source, 0)) for _ in range(count)]
    try:
        yield connections
    finally:
        for each in connections:
            each.close()


def client_pair(issued: Issued) -> KeyPair:
    """Return a client certificate of this CA with the common name kube-apiserver."""
    authority = x509.load_pem_x509_certificate(issued.authority.certificate)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key_of(issued.authority.key), hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return KeyPair(certificate.public_bytes(pem), key.private_bytes(pem, pkcs8, serialization.NoEncryption()))


def with_certificate(folder: Path, issued: Issued) -> ssl.SSLContext:
    """Return a client's TLS context with a certificate of this CA."""
    file, pair = folder / "client.pem", client_pair(issued)
    file.write_bytes(pair.certificate + pair.key)
    context = trusting(ISSUED)
    context.load_cert_chain(file)
    return context


def callers(folder: Path, *names: str) -> Callers:
    file = folder / "ca.crt"
    file.write_bytes(CALLER.bundle)
    return Callers(file, names)


async def test_callers_without_certificate_may_only_probe(tmp_path: Path) -> None:
    async with serving(cache_of(host_object()), callers=callers(tmp_path)) as running:
        status, text = await running.post(review_of(model_object()))
        assert (status, text) == (403, "the request has no client certificate; only the API server may post reviews\n")
        async with running.client.get(running.url("/readyz")) as answer:
            assert answer.status == 200


async def test_callers_with_certificate_of_another_ca_get_no_answer(tmp_path: Path) -> None:
    of_other_ca = with_certificate(tmp_path, OTHER_CA)
    async with serving(cache_of(host_object()), callers=callers(tmp_path), client_tls=of_other_ca) as running:
        with pytest.raises(aiohttp.ClientError):
            await running.post(review_of(model_object()))


@pytest.mark.parametrize(
    ("names", "status"), [((), 200), (("kube-apiserver",), 200), (("a", "b"), 403)], ids=["any", "named", "other name"]
)
async def test_callers_are_checked_by_name(tmp_path: Path, names: tuple[str, ...], status: int) -> None:
    tls = with_certificate(tmp_path, CALLER)
    async with serving(cache_of(host_object()), callers=callers(tmp_path, *names), client_tls=tls) as running:
        answer, text = await running.post(review_of(model_object()))
        assert answer == status
        assert ("the client certificate has none of the names a, b" in text) == (status == 403)


def test_callers_need_a_readable_ca(tmp_path: Path) -> None:
    for file in (tmp_path / "missing", tmp_path):
        with pytest.raises(StartupError, match=r"^the CA of the API server's client certificate cannot be read: "):
            Callers(file).trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
