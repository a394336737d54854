"""The model server and the object store of the measurements: they answer at once, from memory.

Each runs in a process of its own, so that the time and the memory of the agent are its own. The server speaks
the agent's part of the v2 repository protocol, the store obstore's part of Google's. `GET /-/counts` returns
the counts of their requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote

import uvloop
from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]
_DATE = "2026-01-01T00:00:00Z"
WEIGHTS = "1/model.onnx"
_CONFIG = b'platform: "onnxruntime_onnx"\n'


class ModelServer:
    """Loads and unloads at once."""

    def __init__(self) -> None:
        self.served: dict[str, str] = {}
        """The weights of each model that is loaded."""
        self.calls: Counter[str] = Counter()
        self._models = Path()
        self._index: bytes | None = None

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer any request."""
        words = request.path.strip("/").split("/")
        call = words[-1]
        self.calls[call] += 1
        if call == "counts":
            return web.json_response({"calls": self.calls, "ready": len(self.served)})
        if call == "served":
            return web.json_response(self.served)
        if call == "index":
            return web.Response(body=self._listed(), content_type="application/json")
        self._index = None
        if call == "load":
            return self._load(words[-2])
        if call == "unload":
            self.served.pop(words[-2], None)
        if call == "begin":  # as if started anew, before this folder
            self.served.clear()
            self._models = Path(request.query["models"])
        return web.Response()

    def _load(self, name: str) -> web.Response:
        try:
            self.served[name] = (self._models / name / WEIGHTS).read_text()
        except OSError:
            text = f"failed to load '{name}', failed to poll from model repository"
            return web.json_response({"error": text}, status=500)
        return web.Response()

    def _listed(self) -> bytes:
        if self._index is None:
            rows = [{"name": name, "version": "1", "state": "READY"} for name in sorted(self.served)]
            self._index = json.dumps(rows).encode()
        return self._index


class Bucket:
    """Has every requested model: a configuration, and weights that name their source."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer any request."""
        if request.path == "/-/counts":
            return web.json_response({"calls": self.calls})
        if "list-type" in request.query:
            self.calls["list"] += 1
            return web.Response(text=_listing(request.query.get("prefix", "")), content_type="application/xml")
        self.calls["get"] += 1
        key = unquote(request.path).removeprefix("/bucket/")
        headers = {"ETag": _etag(key), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return web.Response(body=_content(key), headers=headers)


def _listing(prefix: str) -> str:
    keys = (f"{prefix}{WEIGHTS}", f"{prefix}config.pbtxt")
    rows = "".join(
        f"<Contents><Key>{key}</Key><LastModified>{_DATE}</LastModified><ETag>{_etag(key)}</ETag>"
        f"<Size>{len(_content(key))}</Size></Contents>"
        for key in keys
    )
    return f"<ListBucketResult>{rows}</ListBucketResult>"


def _content(key: str) -> bytes:
    return _CONFIG if key.endswith("config.pbtxt") else key.encode()


def _etag(key: str) -> str:
    return f'"{zlib.crc32(key.encode()):x}-1"'


async def serve(answer: Answer) -> None:
    """Serve on a port of the system's choice, which is printed, until killed."""
    server = web.Server(answer)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["server", "bucket"])
    what = parser.parse_args().what
    uvloop.run(serve(ModelServer().answer if what == "server" else Bucket().answer))


if __name__ == "__main__":
    main()
