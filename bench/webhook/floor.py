"""The floor: an aiohttp server over TLS that reads a body and answers the same each time. `floor PORT FOLDER`.

The difference to it is the webhook's own work; the rest is the price of Python, aiohttp and TLS on this machine.
The certificate is issued like the webhook's own. The CA is in FOLDER, as `ca.crt`, when the server listens.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from aiohttp import web

from manyserve.http_server import HttpServer
from manyserve.webhook.certs.check import ensure
from manyserve.webhook.certs.rotation import ReloadableTls

ANSWER = (
    b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", '
    b'"response": {"uid": "00000000-0000-0000-0000-000000000000", "allowed": true}}'
)


async def _validate(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, content_type="application/json")


async def _serve(port: int, folder: Path) -> None:
    issued, tls, app = ensure(None, ["localhost"], datetime.now(UTC)), ReloadableTls(), web.Application()
    tls.load(issued.leaf)
    app.router.add_post("/validate", _validate)
    await HttpServer(app, port, tls.context, host="localhost").start()
    half = folder / "ca.crt.new"
    half.write_bytes(issued.bundle)
    half.rename(folder / "ca.crt")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
