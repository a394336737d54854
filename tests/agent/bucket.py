"""A store whose ETags are real MD5s, that serves ranges, and that can be told to spoil what it sends."""

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
    """The faults further to those of `FakeBucket`: short, longer, cut, altered, noise, changing.

    `cut` ends the connection in the middle; `altered` sends the same wrong bytes each time, `noise` others
    each time, `once` wrong ones the first time only; `changing` has another version after each request.
    """

    etags: dict[str, str] = field(default_factory=dict)
    """What is said instead of the MD5."""
    ranges: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    """What each request had to prove itself with; empty for one of nobody."""
    meeting: int = 0
    """No object is served before so many are asked for at once."""
    met: asyncio.Event = field(default_factory=asyncio.Event)
    together: int = 0
    most_together: int = 0

    def etag(self, key: str) -> str:
        return self.etags.get(key) or hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()

    async def list(self, request: web.Request) -> web.Response:
        self.lists += 1
        self.signed.append(request.headers.get("Authorization", ""))
        if answer := await self._fault("list"):
            return answer
        prefix, start = request.query.get("prefix", ""), int(request.query.get("continuation-token", "0"))
        found = [key for key in sorted(self.objects) if key.startswith(prefix)]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f'<ETag>"{self.etag(key)}"</ETag><Size>{len(self.objects[key])}</Size></Contents>'
            for key in found[start : start + 1000]
        )
        rest = start + 1000
        more = f"<NextContinuationToken>{rest}</NextContinuationToken>" if rest < len(found) else ""
        return web.Response(text=f"<ListBucketResult>{rows}{more}</ListBucketResult>", content_type="application/xml")

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        try:
            if self.most_together >= self.meeting:
                self.met.set()
            await self.met.wait()
            return await self._get(request, request.match_info["key"])
        finally:
            self.together -= 1

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
        data, status = self.objects[key], 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", "")):
            start, end = int(found[1]), min(int(found[2]) + 1, len(data))
            self.ranges.append(found[0])
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            data, status = data[start:end], 206
        if self.fault in {"drip", "cut"}:
            return await self._slow(request, status, headers, data)
        return web.Response(status=status, body=self._spoilt(data), headers=headers)

    def _spoilt(self, data: bytes) -> bytes:
        times = len(self.gets)
        spoils = {
            "short": data[:-1],
            "longer": data + b"more",
            "altered": b"X" + data[1:],
            "noise": bytes([times % 256]) + data[1:],
            "once": b"X" + data[1:] if times == 1 else data,
        }
        return spoils.get(self.fault, data)

    async def _slow(
        self, request: web.Request, status: int, headers: dict[str, str], data: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(len(data))})
        await response.prepare(request)
        for number, byte in enumerate(data):
            if not self.fault or request.transport is None or request.transport.is_closing():
                break
            if self.fault == "cut" and number == len(data) // 2:
                request.transport.abort()
            await response.write(bytes([byte]))
            await asyncio.sleep(0.1 if self.fault == "drip" else 0)
        return response
