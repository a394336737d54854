"""HTTP handlers over real TLS: valid and invalid reviews, reloads under load, and idle connections."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import generate_latest

from manyserve import http_server
from manyserve.api.errors import StartupError
from manyserve.http_server import HttpServer
from manyserve.webhook.bodies import LIMIT
from manyserve.webhook.certs.issue import KeyPair, issue_leaf
from manyserve.webhook.certs.rotation import BadPairError
from manyserve.webhook.handlers import plain_app, secure_app
from tests.support.connections import closed_by_peer
from tests.support.eventually import eventually
from tests.support.make import model_object
from tests.webhook.reviews import review_of
from tests.webhook.serving import ISSUED, NAMES, RunningWebhook, trusting


async def test_handler_answers_review(running: RunningWebhook) -> None:
    status, text = await running.post(review_of(model_object("second")))
    assert status == 200
    assert json.loads(text)["response"] == {"uid": "review-1", "allowed": True}
    labels = b'{kind="TrainedModel",reason="",verdict="allowed"}'
    assert b"manyserve_webhook_reviews_total" + labels + b" 1.0" in generate_latest(running.metrics.registry)


async def test_handler_reserves_memory_at_once(running: RunningWebhook) -> None:
    answers = await asyncio.gather(*(running.post(review_of(model_object(f"m{index}"))) for index in range(20)))
    allowed = [json.loads(text)["response"]["allowed"] for _, text in answers]
    assert sum(allowed) == 1


async def test_handler_answers_500_concurrent_reviews(running: RunningWebhook) -> None:
    reviews = [review_of(model_object(f"m{index}", memory=1), uid=f"u{index}") for index in range(500)]
    answers = await asyncio.gather(*map(running.post, reviews))
    assert [json.loads(text)["response"]["uid"] for _, text in answers] == [f"u{index}" for index in range(500)]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is empty"),
        (b"<html>", "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"[" * 100_000, "the body is nested too deeply"),
        ({"kind": "Pod"}, "the body is not an AdmissionReview"),
        (review_of(model_object(), operation="DELETE"), "operation 'DELETE' is not reviewed"),
    ],
)
async def test_handler_answers_bad_review_with_one_line(running: RunningWebhook, body: Any, sentence: str) -> None:
    status, text = await running.post(body)
    assert status == 400
    assert text.startswith(sentence)
    assert text.count("\n") == 1


async def test_handler_accepts_update_of_object_of_1_5_mb(running: RunningWebhook) -> None:
    heavy = model_object("second")
    heavy["metadata"]["annotations"] = {"a": "x" * 1_500_000}
    new = heavy | {"spec": heavy["spec"] | {"model": heavy["spec"]["model"] | {"memory": "512Mi"}}}
    status, text = await running.post(review_of(new, heavy))
    assert status == 200
    assert json.loads(text)["response"]["allowed"]


async def test_handler_refuses_body_beyond_limit(running: RunningWebhook) -> None:
    status, text = await running.post(b" " * (LIMIT + 1))
    assert status == 413
    assert "Traceback" not in text


async def test_handler_serves_no_other_path_or_method(running: RunningWebhook) -> None:
    for method, path, expected in (("GET", "/validate", 405), ("POST", "/metrics", 404), ("GET", "/../etc", 404)):
        async with running.client.request(method, running.url(path)) as answer:
            assert answer.status == expected


async def test_probes_distinguish_liveness_and_readiness(running: RunningWebhook) -> None:
    running.not_ready.append("not listed yet: trainedmodels")
    async with running.client.get(running.url("/healthz")) as answer:
        assert answer.status == 200
    async with running.client.get(running.url("/readyz")) as answer:
        assert (answer.status, await answer.text()) == (503, "not listed yet: trainedmodels\n")


async def test_handler_times_out_on_incomplete_body(running: RunningWebhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyserve.webhook.bodies.READ_TIMEOUT", 0.1)
    reader, writer = await asyncio.open_connection("localhost", running.port, ssl=trusting(ISSUED))
    writer.write(b"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()


async def test_tls_reload_under_load_refuses_no_request(running: RunningWebhook) -> None:
    stop = asyncio.Event()
    answered = 0

    async def load() -> None:
        nonlocal answered
        while not stop.is_set():
            status, _ = await running.post(review_of(model_object("x", memory=1)), headers={"Connection": "close"})
            assert status == 200
            answered += 1

    tasks = [asyncio.create_task(load()) for _ in range(4)]
    served = set()
    for number in range(10):
        running.tls.load(issue_leaf(ISSUED.authority, NAMES, datetime.now(UTC)))
        await eventually(lambda least=5 * (number + 1): answered > least, "reviews go on")  # type: ignore[misc]
        served.add(await served_certificate(running.port))
    stop.set()
    await asyncio.gather(*tasks)
    assert len(served) == 10
    assert answered > 50


async def test_tls_reload_of_torn_pair_keeps_old_pair(running: RunningWebhook) -> None:
    before = await served_certificate(running.port)
    other = issue_leaf(ISSUED.authority, NAMES, datetime.now(UTC))
    for torn in (
        KeyPair(other.certificate, ISSUED.leaf.key),
        KeyPair(b"", b""),
        KeyPair(ISSUED.leaf.certificate, b"junk"),
    ):
        with pytest.raises(BadPairError):
            running.tls.load(torn)
        assert await served_certificate(running.port) == before
    running.tls.load(other)
    assert await served_certificate(running.port) != before


async def served_certificate(port: int) -> bytes:
    _, writer = await asyncio.open_connection("localhost", port, ssl=trusting(ISSUED))
    certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return certificate


async def test_tls_refuses_old_versions_and_plain_http(running: RunningWebhook) -> None:
    old = trusting(ISSUED)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("localhost", running.port, ssl=old)
    reader, writer = await asyncio.open_connection("localhost", running.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"200" not in await asyncio.wait_for(reader.read(), 30)
    writer.close()
    assert (await running.post(review_of(model_object())))[0] == 200


async def test_tls_handshakes_left_open_are_closed(running: RunningWebhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HANDSHAKE_SECONDS", 0.5)
    server = HttpServer(secure_app(running.handlers), 0, running.tls.context, host="127.0.0.1")
    port = await server.start()
    assert (await running.post(review_of(model_object())))[0] == 200
    tasks_before = len(asyncio.all_tasks())
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(400)]
    assert (await running.post(review_of(model_object())))[0] == 200
    await eventually(lambda: all(map(closed_by_peer, connections)))
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before)
    for connection in connections:
        connection.close()
    await server.stop()


async def test_http_server_closes_idle_connection_only(running: RunningWebhook) -> None:
    server = HttpServer(plain_app(running.handlers), 0, host="127.0.0.1", idle=2)
    port = await server.start()
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def idle_one_is_closed() -> bool:
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in await reader.readline()
        assert await reader.readuntil(b"ok\n")
        return idle_reader.at_eof()

    await eventually(idle_one_is_closed, pause=0.1)
    for stream in (idle_writer, writer):
        stream.close()
        await stream.wait_closed()
    await server.stop()


async def test_http_server_names_the_port_in_use(running: RunningWebhook) -> None:
    with pytest.raises(StartupError, match=f"^cannot bind localhost:{running.port}: address already in use$"):
        await HttpServer(plain_app(running.handlers), running.port, host="localhost").start()
