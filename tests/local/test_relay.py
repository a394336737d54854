"""The relay between the machine and a cluster: it copies both directions and leaves no connection open.

It enters the namespace that it is already in, so no cluster is needed, only root.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localcluster import relay
from tests.support.eventually import eventually

pytestmark = pytest.mark.cluster

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def relayed() -> AsyncIterator[tuple[int, int]]:
    """Run a relay in front of a server that answers only when its caller is done; yield port and pid."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(await reader.read())
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    target = server.sockets[0].getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    words = [sys.executable, relay.__file__, "/proc/self/ns/net", f"{port}=127.0.0.1:{target}"]
    process = await asyncio.create_subprocess_exec(*words)
    try:
        yield port, process.pid
    finally:
        process.kill()
        await process.wait()
        server.close()


async def connect(port: int) -> Pair:
    """Connect as soon as the relay listens."""

    async def connected() -> Pair | None:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", port)
        return None

    pair: Pair = await eventually(connected, "the relay listens")
    return pair


async def echo(port: int, message: bytes) -> bytes:
    reader, writer = await connect(port)
    writer.write(message)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_relay_passes_half_close_and_keeps_other_direction() -> None:
    async with relayed() as (port, _):
        message = os.urandom(5_000_000)
        assert await echo(port, message) == message


async def test_relay_closes_many_concurrent_connections() -> None:
    async with relayed() as (port, pid):
        assert await echo(port, b"first") == b"first"
        idle = open_files(pid)
        messages = [str(i).encode() for i in range(300)]
        assert await asyncio.gather(*(echo(port, message) for message in messages)) == messages
        await until_open(pid, idle)


async def test_relay_closes_connection_of_broken_client() -> None:
    async with relayed() as (port, pid):
        assert await echo(port, b"first") == b"first"
        idle = open_files(pid)
        for _ in range(50):
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                caller.sendall(b"half a request")
        await until_open(pid, idle)


async def until_open(pid: int, wanted: int) -> None:
    await eventually(lambda: open_files(pid) <= wanted, f"at most {wanted} files are open")
