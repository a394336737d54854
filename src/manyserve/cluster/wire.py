"""Encoding of request bodies, and splitting of watch streams into lines."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import ClientPayloadError, StreamReader

_ESCAPED = re.compile("[\x7f-\uffff]")


def encode(manifest: Mapping[str, Any]) -> bytes:
    """Return the manifest as JSON that is also YAML with the same meaning.

    The API server reads the body of a server-side apply as YAML, although we send JSON. YAML has no surrogate pairs, so
    letters past U+FFFF, such as emoji, are not escaped. YAML ends a line at some other letters, so those are escaped.
    """
    text = json.dumps(manifest, ensure_ascii=False)
    if not text.isascii() or "\x7f" in text:
        text = _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.encode()


async def lines(stream: StreamReader) -> AsyncIterator[bytes]:
    """Yield each whole line of a stream, of any length. An end within a line raises `ClientPayloadError`.

    A watch sends one JSON object a line. `readline` of aiohttp fails at 128 KiB, while an object may have 1.5 MiB, and
    an event more. Chunks are joined only when their line ends, so a long line costs no more than its length.
    """
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
