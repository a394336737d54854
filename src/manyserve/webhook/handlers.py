"""HTTP handlers: `POST /validate` over TLS with limits on callers and bodies, probes, and metrics.

A review costs a few look-ups, so it runs in the event loop. An invalid request gets one line and no traceback.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from manyserve.prometheus import MetricsPage
from manyserve.webhook.admission import BadReviewError
from manyserve.webhook.bodies import LIMIT, Bodies, BodyError
from manyserve.webhook.cache import Cache
from manyserve.webhook.callers import ANYBODY, Callers
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.review import Outcome, review
from manyserve.webhook.sizes import MOST_SEPARATORS, has_too_many_separators


@dataclass(frozen=True)
class Health:
    """Predicates of the probes: each returns the problem, or None when there is none."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


class Handlers:
    """Handlers of one webhook process."""

    def __init__(self, cache: Cache, metrics: Metrics, health: Health, callers: Callers = ANYBODY) -> None:
        self._cache = cache
        self._callers = callers
        self._metrics = metrics
        self._page = MetricsPage(metrics.registry, time.monotonic)
        self._health = health
        self._bodies = Bodies()

    async def validate(self, request: web.Request) -> web.StreamResponse:
        """Answer a review."""
        return await self._metrics.measured(self._validate)(request)

    async def _validate(self, request: web.Request) -> web.StreamResponse:
        if error := self._callers.error(request):  # before its body is read
            response = web.Response(status=403, text=f"{error}\n")
            response.force_close()
            return response
        try:
            outcome = await self._bodies.handle(request, self._review)
        except BadReviewError as error:
            return _bad_request(str(error))
        except (web.RequestPayloadError, ConnectionError) as error:  # or the client closed the connection
            response = _bad_request(f"the body cannot be read: {' '.join(str(error).split())}")
            response.force_close()  # the start of the next request is unknown
            return response
        except BodyError as error:
            return web.Response(status=error.status, text=f"{error}\n")
        verdict = "allowed" if outcome.allowed else "refused"
        self._metrics.reviews.labels(outcome.kind, verdict, outcome.reason).inc()
        return web.Response(body=json.dumps(outcome.response).encode(), content_type="application/json")

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer the liveness probe."""
        return _probe_response(self._health.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer the readiness probe."""
        return _probe_response(self._health.ready())

    async def metrics(self, _: web.Request) -> web.Response:
        """Answer a scrape of the metrics."""
        return self._page.response()

    def _review(self, body: bytearray) -> Outcome:
        try:
            outcome = review(_parsed(body), self._cache.view())
        except RecursionError:
            raise BadReviewError("the body is nested too deeply") from None
        if outcome.reserve is not None:
            self._cache.reservations.reserve(outcome.object_uid, outcome.reserve)
        return outcome


def _parsed(body: bytearray) -> Any:
    if not body:
        raise BadReviewError("the body is empty")
    if has_too_many_separators(body):
        raise BadReviewError(f"the body has more than {MOST_SEPARATORS} brackets and commas")
    try:
        return json.loads(body)
    except ValueError:  # also a body that is not UTF-8
        raise BadReviewError("the body is not JSON") from None


def _bad_request(sentence: str) -> web.Response:
    return web.Response(status=400, text=f"{sentence}\n")


def _probe_response(problem: str | None) -> web.Response:
    return web.Response(status=503 if problem else 200, text=f"{problem or 'ok'}\n")


def secure_app(handlers: Handlers) -> web.Application:
    """Return the application for the TLS port."""
    app = web.Application(client_max_size=LIMIT)
    app.router.add_post("/validate", handlers.validate)
    app.router.add_get("/healthz", handlers.healthz)
    app.router.add_get("/readyz", handlers.readyz)
    return app


def plain_app(handlers: Handlers) -> web.Application:
    """Return the application for the plain port, with GET routes only."""
    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", handlers.healthz)
    app.router.add_get("/readyz", handlers.readyz)
    app.router.add_get("/metrics", handlers.metrics)
    return app
