"""Bodies of responses, with a limit on their size: another program may send any number of bytes."""

from __future__ import annotations

import aiohttp


async def read_at_most(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return the body of a response, or None if it has more than so many bytes. Raises `aiohttp.ClientError`."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)
