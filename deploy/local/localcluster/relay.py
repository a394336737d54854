"""A TCP relay between the machine and a cluster's network namespace, one per cluster.

It binds its ports on the machine's loopback first, then moves itself into the namespace. A socket stays in the
namespace in which it was created. So the relay accepts connections from the machine and connects into the cluster. It
copies each direction until the sender is done, and passes the end on, so half-closed connections work. When one side
breaks, it closes the other at once. It runs as a program of its own, by path:

    relay.py NETNS-FILE HOST-PORT=ADDRESS:PORT ...
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16


def main(netns: str, *routes: str) -> None:
    """Listen on the machine, enter the namespace, and relay without end."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    doors = [(_listen(int(port)), target) for port, _, target in (route.partition("=") for route in routes)]
    _enter(Path(netns))
    asyncio.run(_serve(doors))


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=1024)


def _enter(netns: Path) -> None:
    """Move this process into a network namespace (`os.setns` is Python 3.12's)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with netns.open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(netns))


async def _serve(doors: list[tuple[socket.socket, str]]) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for door, target in doors:
            address, _, port = target.rpartition(":")
            await stack.enter_async_context(await asyncio.start_server(_relay_to(address, int(port)), sock=door))
        await asyncio.get_running_loop().create_future()


def _relay_to(address: str, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Return the handler of a connection."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(address, port)
        except OSError:  # no program listens inside yet: the client sees a reset and retries
            writer.transport.abort()
            return
        await _join(reader, upstream_writer, upstream_reader, writer)

    return relay


async def _join(
    near: asyncio.StreamReader, far_in: asyncio.StreamWriter, far: asyncio.StreamReader, near_in: asyncio.StreamWriter
) -> None:
    """Copy both ways until both senders are done, or either side breaks."""
    try:
        with contextlib.suppress(OSError, ExceptionGroup):
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(near, far_in))
                pumps.create_task(_pump(far, near_in))
            await _close(far_in)
            await _close(near_in)
    finally:
        far_in.transport.abort()
        near_in.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the source ends, then end the sink."""
    while chunk := await source.read(CHUNK):
        sink.write(chunk)
        await sink.drain()
    sink.write_eof()


if __name__ == "__main__":
    main(*sys.argv[1:])
