"""Input 24: connections to the webhook's TLS port without a whole request."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from manyserve.http_server import HANDSHAKE_SECONDS
from tests.inputs.process import open_files
from tests.inputs.webhook_client import WebhookClient
from tests.support import make
from tests.support.connections import closed_by_peer
from tests.support.eventually import eventually
from tests.support.webhook import SERVICE
from tests.webhook.reviews import review_of

MANY = 1000
TOLERANCE = 4
"""Number of files that other connections may open meanwhile: those of the API server, and to it."""
CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303")
"""First bytes of a handshake, of the 200 that its header announces."""


@contextmanager
def connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Open connections without sending anything."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection((SERVICE, port))) for _ in range(count)]


NO_TLS = [b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", b"\x00" * 4096]


@pytest.mark.parametrize("words", NO_TLS, ids=["HTTP", "bytes"])
async def test_input_24_connection_without_tls_is_closed_without_http_response(
    healthy_webhook: WebhookClient, words: bytes
) -> None:
    reader, writer = await asyncio.open_connection(SERVICE, healthy_webhook.server.port)
    writer.write(words)
    answer = await asyncio.wait_for(reader.read(), HANDSHAKE_SECONDS + 10)
    assert answer == b"" or answer[0] == 21  # an alert of TLS, not HTTP
    writer.close()


async def test_input_24_tls_below_1_2_is_refused(healthy_webhook: WebhookClient) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself would refuse it
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.maximum_version = version
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(SERVICE, healthy_webhook.server.port, ssl=old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await asyncio.open_connection(SERVICE, healthy_webhook.server.port, ssl=old)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    writer.close()


async def test_input_24_unfinished_handshakes_are_closed_without_leaking_files(healthy_webhook: WebhookClient) -> None:
    pid, port = healthy_webhook.server.program.process.pid, healthy_webhook.server.port
    before = open_files(pid)
    with connected(port, MANY) as connections:
        for connection in connections[::2]:
            connection.sendall(CLIENT_HELLO)
        await eventually(lambda: open_files(pid) >= before + MANY / 2, limit=HANDSHAKE_SECONDS)
        answer = await healthy_webhook.review(review_of(make.model_object(host="nobody"), uid="meanwhile"))
        assert (answer["uid"], answer["allowed"]) == ("meanwhile", True)
        await eventually(lambda: all(map(closed_by_peer, connections)), limit=HANDSHAKE_SECONDS + 30)
        await eventually(lambda: open_files(pid) <= before + TOLERANCE, limit=30)


async def test_input_24_connections_dropped_within_a_request_leak_no_files(healthy_webhook: WebhookClient) -> None:
    pid, port = healthy_webhook.server.program.process.pid, healthy_webhook.server.port
    before = open_files(pid)
    for _ in range(100):
        _, writer = await asyncio.open_connection(SERVICE, port, ssl=healthy_webhook.tls)
        writer.write(b"POST /validate HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{")
        writer.transport.abort()
    await eventually(lambda: open_files(pid) <= before + TOLERANCE, limit=30)
