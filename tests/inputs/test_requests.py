"""Input 22: broken, large and numerous HTTP requests, straight to the webhook's port."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
import yaml

from manyserve.api.quantity import parse_memory
from manyserve.webhook.bodies import LIMIT
from tests.inputs.process import most_memory
from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.support.programs import PROJECT
from tests.webhook.reviews import review_of

DEPLOYMENT = yaml.safe_load((PROJECT / "webhooks" / "deployment.yaml").read_text())
REVIEW = json.dumps(review_of(make.model_object())).encode()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_input_22_method_other_than_post_is_refused(healthy_webhook: WebhookClient, method: str) -> None:
    status, text = await healthy_webhook.send(method)
    assert status == 405
    assert "Traceback" not in text


@pytest.mark.parametrize("path", ["/", "/metrics", "/validate/", "/validate/../../etc/passwd", "/%00"])
async def test_input_22_unknown_path_is_not_found(healthy_webhook: WebhookClient, path: str) -> None:
    assert (await healthy_webhook.send("POST", REVIEW, path))[0] == 404


async def test_input_22_body_of_20_mib_is_refused(healthy_webhook: WebhookClient) -> None:
    status, text = await healthy_webhook.send("POST", b" " * 20 * 1024**2)
    assert status == 413
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"no gzip at all", 400), (gzip.compress(b" " * 20 * 1024**2), 413), (gzip.compress(REVIEW), 200)],
    ids=["no gzip", "20 MiB", "a review"],
)
async def test_input_22_gzip_body_has_the_same_limits(
    healthy_webhook: WebhookClient, body: bytes, expected: int
) -> None:
    url = f"https://localhost:{healthy_webhook.server.port}/validate"
    async with healthy_webhook.session.post(url, data=body, headers={"Content-Encoding": "gzip"}) as answer:
        text = await answer.text()
    assert answer.status == expected
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "lines",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /validate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /validate HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["bytes", "CONNECT", "negative", "two lengths", "bad chunks", "long header", "HTTP/2"],
)
async def test_input_22_malformed_http_is_refused_without_traceback(
    healthy_webhook: WebhookClient, lines: bytes
) -> None:
    reader, writer = await asyncio.open_connection("localhost", healthy_webhook.server.port, ssl=healthy_webhook.tls)
    writer.write(lines)
    answer = await asyncio.wait_for(reader.readline(), 10)
    assert answer.split()[1:2] in ([b"400"], [b"404"], [b"405"], [b"431"])
    writer.close()


FLOODS = {
    "20 MiB": (30, b" " * 20 * 1024**2),
    "just not too large": (30, b" " * (LIMIT - 1)),
    "a million objects": (10, b"[" + b"{}," * (LIMIT // 3 - 10) + b"{}]"),
}


@pytest.mark.parametrize(("count", "body"), FLOODS.values(), ids=FLOODS)
async def test_input_22_concurrent_large_bodies_stay_below_the_memory_limit(
    healthy_webhook: WebhookClient, count: int, body: bytes
) -> None:
    limits = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    answers = await asyncio.gather(*(healthy_webhook.send("POST", body) for _ in range(count)))
    assert {status for status, _ in answers} <= {400, 413, 503}, "refused, or no turn in time"
    assert most_memory(healthy_webhook.server.program.process.pid) < parse_memory(limits["memory"])
