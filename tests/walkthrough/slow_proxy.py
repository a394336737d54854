"""TCP proxy to the service `s3`, at a limited rate for each connection. Argument: bytes a second to the client."""

from __future__ import annotations

import asyncio
import sys

TARGET = ("s3", 80)
PORT = 8080
PAUSE = 0.25
"""Seconds between two chunks."""


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunk: int, pause: float) -> None:
    """Copy until the end of the stream."""
    try:
        while data := await reader.read(chunk):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)
    finally:
        writer.close()


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection."""
    store_reader, store_writer = await asyncio.open_connection(*TARGET)
    slow = copy(store_reader, writer, int(int(sys.argv[1]) * PAUSE), PAUSE)
    await asyncio.gather(copy(reader, store_writer, 1 << 16, 0), slow, return_exceptions=True)


async def main() -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(connect, port=PORT)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
