"""Bounds of the webhook, each tried on a webhook that listens with TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from prometheus_client import Counter

from manyserve import http_server
from manyserve.api.names import Key
from manyserve.connections import MAX_CONNECTIONS
from manyserve.http_server import MAX_HEADER_BYTES, MAX_HEADERS
from manyserve.prometheus import METRICS_SECONDS, MetricsPage, new_registry
from manyserve.webhook import bodies
from manyserve.webhook.admission import NAME_LIMIT
from manyserve.webhook.bodies import LIMIT, MAX_LARGE_READS, PAUSES, SMALL_BODY, USUAL_SEPARATORS
from manyserve.webhook.reservations import LIFETIME, MAX_PER_HOST, MAX_RESERVATIONS, SUSPENSION, Reservations
from manyserve.webhook.review import Outcome
from manyserve.webhook.sizes import MOST_SEPARATORS, MOST_VALUES
from tests.support.clock import FakeClock
from tests.support.connections import ADDRESS, closed_by_peer, unlimited
from tests.support.connections import KUBELET as OTHER
from tests.support.eventually import eventually
from tests.support.make import host_object, model_object
from tests.tenants.tables import Cases
from tests.webhook.reviews import ask, cache_of, review_of
from tests.webhook.serving import ISSUED, RunningWebhook, serving, trusting
from tests.webhook.test_attacks import flood, with_metadata
from tests.webhook.test_reservations import allocation, full_host

CASES = Cases()
SMALL = json.dumps(review_of(model_object("second"))).encode()
IN_FLIGHT = "controller_runtime_webhook_requests_in_flight"
SOON = 0.2
"""Seconds, in place of a timeout of seconds."""


@asynccontextmanager
async def webhook(**constants: float) -> AsyncIterator[RunningWebhook]:
    """Run a webhook for a host with one model, with other values of these timeouts."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in constants.items():
            patched.setattr(http_server if hasattr(http_server, name) else bodies, name, value)
        async with serving(cache_of(host_object(), model_object("first"))) as running:
            yield running


async def answer(running: RunningWebhook, review: Any) -> tuple[bool, str]:
    """Return the verdict on a review, and its message."""
    status, text = await running.post(review)
    assert status == 200, text
    response = json.loads(text)["response"]
    return response["allowed"], response.get("status", {}).get("message", "")


@CASES.of("open connections of a port, of each program")
async def connections() -> None:
    assert MAX_CONNECTIONS == 512
    async with webhook(HANDSHAKE_SECONDS=600) as running:
        with flood("127.0.0.1", running.port, MAX_CONNECTIONS - 1) as below:
            assert (await running.post(SMALL))[0] == 200
            assert not any(map(closed_by_peer, below))
        with flood("127.0.0.1", running.port, 2 * MAX_CONNECTIONS) as above:
            await eventually(lambda: sum(not closed_by_peer(each) for each in above) <= MAX_CONNECTIONS)


@CASES.of("requests of `/metrics`, of each program")
def requests_of_metrics() -> None:
    clock, registry = FakeClock(), new_registry()
    counter, page = Counter("requests", "Requests.", registry=registry), MetricsPage(registry, clock)

    def body() -> object:
        counter.inc()
        return page.response().body

    seldom = set()
    for _ in range(10):
        seldom.add(body())
        clock.now += METRICS_SECONDS
    assert len(seldom) == 10
    assert len({body() for _ in range(1500)}) == 1


@CASES.of("a TLS handshake")
async def handshake() -> None:
    assert http_server.HANDSHAKE_SECONDS == 5.0
    async with webhook(HANDSHAKE_SECONDS=SOON) as running:
        reader, writer = await asyncio.open_connection("localhost", running.port, ssl=trusting(ISSUED))
        with socket.create_connection(("127.0.0.1", running.port)) as silent:
            await eventually(lambda: closed_by_peer(silent))
        assert not reader.at_eof()
        writer.close()


@CASES.of("a body")
async def size_of_a_body() -> None:
    assert bodies.READ_TIMEOUT == 10.0
    async with webhook() as running:
        assert (await running.post(SMALL.ljust(LIMIT)))[0] == 200
        assert (await running.post(SMALL.ljust(2 * LIMIT)))[0] == 413
        async with running.client.post(running.url(), data=in_chunks(2 * LIMIT)) as response:
            assert response.status == 413
    async with webhook(READ_TIMEOUT=SOON) as running:
        assert (await running.post(SMALL))[0] == 200
        reader, writer = await begun(running, 9)
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 30)
        writer.close()


async def in_chunks(length: int) -> AsyncIterator[bytes]:
    """Yield a body without a Content-Length."""
    for _ in range(length // SMALL_BODY):
        yield b" " * SMALL_BODY


async def begun(running: RunningWebhook, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the head of a review, and one byte of its body."""
    reader, writer = await asyncio.open_connection("localhost", running.port, ssl=trusting(ISSUED))
    writer.write(f"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{{".encode())
    await writer.drain()
    return reader, writer


@CASES.of("bodies above 32 KiB in memory")
async def large_bodies() -> None:
    """One address has half of the permits, and a review below 32 KiB never waits."""
    assert (SMALL_BODY, MAX_LARGE_READS) == (32 * 1024, 8)
    large = SMALL.ljust(2 * SMALL_BODY)
    async with webhook() as running, unlimited(OTHER) as other:
        held = [await begun(running, len(large)) for _ in range(MAX_LARGE_READS // 2 - 1)]
        assert (await running.post(large))[0] == 200, "one permit is left"
        held.append(await begun(running, len(large)))
        await eventually(partial(running.handlers._bodies._large_reads.locked, ADDRESS))
        waits = asyncio.create_task(running.post(large))
        assert (await running.post(SMALL))[0] == 200
        assert await posted(running, other, large) == 200, "those of another address do not wait"
        assert not waits.done()
        held[0][1].close()
        assert (await waits)[0] == 200
        for _, writer in held:
            writer.close()


async def posted(running: RunningWebhook, client: aiohttp.ClientSession, body: bytes) -> int:
    """Send a review from another address, and return the status of the response."""
    url, tls = f"https://{ADDRESS}:{running.port}/validate", trusting(ISSUED)
    async with client.post(url, data=body, ssl=tls, server_hostname="localhost") as response:
        return response.status


@CASES.of("reviews of one address")
async def turns_of_an_address() -> None:
    """A review of another address overtakes a flood; the flood itself is answered, too."""
    costly = json.dumps(review_of(with_values((USUAL_SEPARATORS - 100) // 2)), separators=(",", ":")).encode()
    async with webhook() as running, unlimited(OTHER) as attacker:
        assert (await running.post(SMALL))[0] == 200
        review, done = running.handlers._review, list[int]()

        def counted(body: bytearray) -> Outcome:
            done.append(len(body))
            return review(body)

        running.handlers._review = counted  # type: ignore[method-assign]
        flood = [asyncio.create_task(posted(running, attacker, costly)) for _ in range(100)]
        waiting = partial(running.metrics.registry.get_sample_value, IN_FLIGHT, {"webhook": "/validate"})
        await eventually(lambda: (waiting() or 0) >= 40)
        before = len(done)
        assert (await running.post(SMALL))[0] == 200
        assert len(done) - before < 10
        answers = await asyncio.gather(*flood)
        assert 200 in answers
        assert set(answers) <= {200, 503}, "a late one has no turn within 10 s on a busy machine"


def with_values(number: int) -> dict[str, Any]:
    """Return a host with so many invalid values: the review takes long for its size."""
    host = host_object()
    host["spec"]["predictor"]["initContainers"] = [{}] * number
    return host


@CASES.of("brackets and commas of a review of usual cost")
async def values_of_a_usual_review() -> None:
    """Beside a costly review that is followed by its pause, a usual one is answered, and another costly one waits."""
    async with webhook() as running:
        for number, waits in (((USUAL_SEPARATORS - 100) // 2, False), (10 * USUAL_SEPARATORS // 2, True)):
            body = json.dumps(review_of(with_values(number)), separators=(",", ":")).encode()
            assert len(body) < SMALL_BODY
            assert (await running.post(body))[0] == 200
            assert running.handlers._bodies._costly.locked("another") is waits


@CASES.of("time of reviews above 32 KiB, or of more brackets and commas")
async def share_of_the_event_loop() -> None:
    """One large body waits for none, and ten wait for the pauses of those before them."""
    large = SMALL.ljust(LIMIT)
    async with webhook() as running:
        assert (await running.post(large))[0] == 200
        parse, busy, began = running.handlers._review, 0.0, time.monotonic()

        def timed(body: bytearray) -> Outcome:
            nonlocal busy
            started = time.thread_time()
            try:
                return parse(body)
            finally:
                busy += time.thread_time() - started

        running.handlers._review = timed  # type: ignore[method-assign]
        assert {status for status, _ in await asyncio.gather(*(running.post(large) for _ in range(10)))} == {200}
        assert 0 < busy < (time.monotonic() - began) / PAUSES


@CASES.of("opening brackets and commas of a body")
async def separators() -> None:
    async with webhook() as running:
        for number, sentence in (
            (MOST_SEPARATORS - 100, f"at most {MOST_VALUES}"),
            (2 * MOST_SEPARATORS, "brackets and commas"),
        ):
            review = review_of(host_object(triton={"args": [0] * number}))
            _, text = await running.post(json.dumps(review, separators=(",", ":")).encode())
            assert sentence in text


@CASES.of("a namespace, a name or a uid")
async def names() -> None:
    async with webhook() as running:
        for length, is_taken in ((NAME_LIMIT, True), (100 * NAME_LIMIT, False)):
            long = "x" * length
            for review in (review_of(with_metadata(uid=long)), review_of(with_metadata(), namespace=long)):
                _, message = await answer(running, review | {"request": review["request"] | {"dryRun": True}})
                assert ("must have at most 253" in message) is not is_taken


@CASES.of("values of a spec, or of the metadata that users write")
async def values() -> None:
    sentence = f"must have at most {MOST_VALUES}"
    async with webhook() as running:
        for number, is_read in ((MOST_VALUES - 100, True), (10 * MOST_VALUES, False)):
            many = {f"l{each}": "x" for each in range(number)}
            in_metadata = host_object()
            in_metadata["metadata"] |= {"labels": many}
            for host in (in_metadata, host_object(triton={"args": list(many)})):
                assert (sentence in (await answer(running, review_of(host)))[1]) is not is_read


@CASES.of("headers of a request")
async def headers() -> None:
    async with webhook() as running:
        for number, length, status in ((20, 1, 200), (2 * MAX_HEADERS, 1, 400), (1, MAX_HEADER_BYTES - 100, 200)):
            assert (await running.post(SMALL, headers=dict.fromkeys(map("X-{}".format, range(number)), "x" * length)))[
                0
            ] == status
        assert (await running.post(SMALL, headers={"X": "x" * (2 * MAX_HEADER_BYTES - 200)}))[0] == 400


@CASES.of("memory that an admitted model reserves")
def reserved_memory() -> None:
    cache, clock = full_host()
    assert ask(cache, model_object("first")).allowed
    clock.now += LIFETIME - 0.01
    assert not ask(cache, model_object("second")).allowed
    clock.now += 0.02
    assert all(ask(cache, model_object(name)).allowed for name in ("second", "third")), "no more are believed"
    clock.now += SUSPENSION
    assert [ask(cache, model_object(name)).allowed for name in ("fourth", "fifth")] == [True, False]
    assert (LIFETIME, SUSPENSION) == (2.0, 60.0)


@CASES.of("reservations")
def reservations() -> None:
    kept = Reservations(FakeClock())
    for host in range(MAX_RESERVATIONS // MAX_PER_HOST + 2):
        for number in range(2 * MAX_PER_HOST):
            kept.reserve(f"{host}-{number}", allocation(host=Key("n", str(host))))
    totals = [kept.allocations.total(Key("n", str(host))) for host in range(MAX_RESERVATIONS // MAX_PER_HOST + 2)]
    assert totals == [MAX_PER_HOST] * (MAX_RESERVATIONS // MAX_PER_HOST) + [0, 0]
    assert (MAX_PER_HOST, MAX_RESERVATIONS) == (256, 4096)
