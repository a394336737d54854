"""Lines of a stream, of any length.

A watch sends one JSON object a line. `readline` of aiohttp fails at 128 KiB, while an object may have 1.5 MiB, and an
event more. Chunks are joined only when their line ends, so a long line costs no more than its length.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import ClientPayloadError, StreamReader


async def lines(stream: StreamReader) -> AsyncIterator[bytes]:
    """Yield each whole line. A stream that ends within a line raises `ClientPayloadError`."""
    parts: list[bytes] = []
    async for chunk in stream.iter_any():
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line = b"".join((*parts, end))
            parts.clear()
            if line.strip():
                yield line
        parts.append(rest)
    if any(parts):
        raise ClientPayloadError("the stream was cut within a line")
