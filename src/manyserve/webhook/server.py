"""The doors: `POST /validate` over TLS, and probes and metrics beside it.

A review costs a few look-ups, so the handlers hold nothing but limits: on the size of a body, on the seconds
it may take to arrive, and on what a connection may cost that never says anything. What cannot be answered as
a review gets one line and no trace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from manyserve.api.errors import StartupError
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.request import BadReviewError
from manyserve.webhook.review import Outcome, review
from manyserve.webhook.view import Cache

BODY_LIMIT = 7 * 1024**2
"""As controller-runtime allows: an update carries the object twice."""
BODY_SECONDS = 10.0
HANDSHAKE_SECONDS = 5.0
IDLE_SECONDS = 120.0
STOP_SECONDS = 2.0
BACKLOG = 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Health:
    """Why the process is not alive, or not ready; None when it is."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


class Doors:
    """The handlers."""

    def __init__(self, cache: Cache, metrics: Metrics, health: Health) -> None:
        self._cache = cache
        self._metrics = metrics
        self._health = health

    async def validate(self, request: web.Request) -> web.Response:
        """Answer a review."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await request.read()
            began = time.perf_counter()
            outcome = self._judge(body)
        except BadReviewError as error:
            self._metrics.bad_requests.inc()
            return web.Response(status=400, text=f"{error}\n")
        except TimeoutError:
            return web.Response(status=408, text=f"the body did not arrive within {BODY_SECONDS:.0f} seconds\n")
        self._metrics.seconds.observe(time.perf_counter() - began)
        self._metrics.reviews.labels(outcome.kind, "allowed" if outcome.allowed else "refused").inc()
        return web.Response(body=json.dumps(outcome.answer).encode(), content_type="application/json")

    async def healthz(self, _: web.Request) -> web.Response:
        """Tell whether the process should live on."""
        return _state(self._health.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        """Tell whether the process should be asked."""
        return _state(self._health.ready())

    async def metrics(self, _: web.Request) -> web.Response:
        """Show the metrics."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    def _judge(self, body: bytes) -> Outcome:
        try:
            outcome = review(_parsed(body), self._cache.view())
        except RecursionError:
            raise BadReviewError("the body is nested too deeply") from None
        if outcome.reserve is not None:
            self._cache.reservations.reserve(outcome.object_uid, outcome.reserve)
        return outcome


def _parsed(body: bytes) -> Any:
    if not body:
        raise BadReviewError("the body is empty")
    try:
        return json.loads(body)
    except ValueError:  # also what is no UTF-8
        raise BadReviewError("the body is not JSON") from None


def _state(why_not: str | None) -> web.Response:
    return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ok'}\n")


def secure_app(doors: Doors) -> web.Application:
    """Return the application for the TLS port."""
    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_post("/validate", doors.validate)
    app.router.add_get("/healthz", doors.healthz)
    app.router.add_get("/readyz", doors.readyz)
    return app


def plain_app(doors: Doors) -> web.Application:
    """Return the application for the plain port: nothing that may be posted to."""
    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", doors.healthz)
    app.router.add_get("/readyz", doors.readyz)
    app.router.add_get("/metrics", doors.metrics)
    return app


class Listener:
    """One port that is listened on, until `stop`.

    A connection that says nothing for `idle` seconds is closed; it is more than the idle time of an API
    server's client, so that none sends a request into a connection that we are about to close.
    """

    def __init__(
        self,
        app: web.Application,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        host: str | None = None,
        idle: float = IDLE_SECONDS,
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=idle, shutdown_timeout=STOP_SECONDS)
        self._address = (host, port)
        self._tls = tls
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises `StartupError`."""
        await self._runner.setup()
        accept = self._runner.server
        if accept is None:
            raise AssertionError("a runner that is set up has a server")
        host, port = self._address
        try:
            self._server = await asyncio.get_running_loop().create_server(
                accept,
                host,
                port,
                ssl=self._tls,
                backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
                ssl_shutdown_timeout=1.0 if self._tls else None,
            )
        except OSError as error:
            raise StartupError(f"port {port} cannot be listened on: {error.strerror or error}") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Take no new connections, let running requests end, and close."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
