"""Model server of the benchmark: it answers each request at once. `python -m bench.router.server PORT ADDRESS...`."""

from __future__ import annotations

import asyncio
import sys

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
END = b"\r\n\r\n{}"
"""End of each request: its body is an empty object."""


class Server(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        """Answer a whole request."""
        self._received += data
        if self._received.endswith(END):
            self._received = b""
            self._transport.write(RESPONSE)


async def serve(port: int, addresses: list[str]) -> None:
    """Serve until cancelled."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Server, address, port) for address in addresses]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
