"""A fake object store with MD5s as ETags, ranges, and scripted faults of bodies."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from aiohttp import web

from tests.agent.support import FakeBucket


@dataclass
class CheckedBucket(FakeBucket):
    """A `FakeBucket` with more faults: short, longer, cut, altered, noise, once, changing.

    `cut` ends the connection in the middle. `altered` sends the same wrong bytes each time, `noise` different ones,
    and `once` wrong ones the first time only. `changing` has another version after each request.
    """

    etags: dict[str, str] = field(default_factory=dict)
    """ETags that replace the MD5, by key."""
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    """Headers with the metadata of objects, by key."""
    ranges: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """The Authorization header of each request; empty for an anonymous one."""
    barrier_size: int = 0
    """Requests wait until this number of them runs at once."""
    barrier: asyncio.Event = field(default_factory=asyncio.Event)
    drip_bytes: int = 1
    """Bytes at a time of the faults `drip`, every 0.1 s, and `cut`."""
    active: int = 0
    max_active: int = 0

    def etag(self, key: str) -> str:
        return self.etags.get(key) or hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()

    async def list(self, request: web.Request) -> web.Response:
        self.lists += 1
        self.signed.append(request.headers.get("Authorization", ""))
        if answer := await self._fault("list"):
            return answer
        prefix, start = request.query.get("prefix", ""), int(request.query.get("continuation-token", "0"))
        keys = [key for key in sorted(self.objects) if key.startswith(prefix)]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f'<ETag>"{self.etag(key)}"</ETag><Size>{len(self.objects[key])}</Size></Contents>'
            for key in keys[start : start + 1000]
        )
        rest = start + 1000
        more = f"<NextContinuationToken>{rest}</NextContinuationToken>" if rest < len(keys) else ""
        return web.Response(text=f"<ListBucketResult>{rows}{more}</ListBucketResult>", content_type="application/xml")

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.active += 1
        self.max_active = max(self.active, self.max_active)
        try:
            if self.max_active >= self.barrier_size:
                self.barrier.set()
            await self.barrier.wait()
            return await self._get(request, request.match_info["key"])
        finally:
            self.active -= 1

    async def _get(self, request: web.Request, key: str) -> web.StreamResponse:
        self.gets.append(key)
        self.signed.append(request.headers.get("Authorization", ""))
        if answer := await self._fault("get"):
            return answer
        if key not in self.objects:
            return web.Response(status=404)
        if self.fault == "changing":
            self.objects[key] = self.objects[key][::-1]
        headers = {"ETag": f'"{self.etag(key)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        headers |= self.metadata.get(key, {})
        data, status = self.objects[key], 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2]) + 1, len(data))
            self.ranges.append(match[0])
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            data, status = data[start:end], 206
        if self.fault in {"drip", "cut"}:
            return await self._slow(request, status, headers, data)
        return web.Response(status=status, body=self._altered(data), headers=headers)

    def _altered(self, data: bytes) -> bytes:
        times = len(self.gets)
        bodies = {
            "short": data[:-1],
            "longer": data + b"more",
            "altered": b"X" + data[1:],
            "noise": bytes([times % 256]) + data[1:],
            "once": b"X" + data[1:] if times == 1 else data,
        }
        return bodies.get(self.fault, data)

    async def _slow(
        self, request: web.Request, status: int, headers: dict[str, str], data: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(data))})
        await response.prepare(request)
        for start in range(0, len(data), self.drip_bytes):
            if not self.fault or request.transport is None or request.transport.is_closing():
                break
            if self.fault == "cut" and start == len(data) // 2:
                request.transport.abort()
            await response.write(data[start : start + self.drip_bytes])
            await asyncio.sleep(0.1 if self.fault == "drip" else 0)
        return response
