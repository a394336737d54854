"""The doors: `POST /validate` over TLS, and probes and metrics beside it.

A review costs a few look-ups, so the handlers hold nothing but the reading of a body within its limits. What
cannot be answered as a review gets one line and no trace.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from manyserve.prometheus import metrics_response
from manyserve.webhook import body_limits
from manyserve.webhook.admission_request import BadReviewError
from manyserve.webhook.cache import Cache
from manyserve.webhook.metrics import Metrics
from manyserve.webhook.review import Outcome, review


@dataclass(frozen=True)
class Health:
    """Why the process is not alive, or not ready; None when it is."""

    alive: Callable[[], str | None]
    ready: Callable[[], str | None]


class Handlers:
    """The handlers."""

    def __init__(self, cache: Cache, metrics: Metrics, health: Health) -> None:
        self._cache = cache
        self._metrics = metrics
        self._health = health
        self._bodies = body_limits.BodyLimits()

    async def validate(self, request: web.Request) -> web.Response:
        """Answer a review."""
        try:
            body = await self._bodies.read(request)
            began = time.perf_counter()
            outcome = self._judge(body)
        except BadReviewError as error:
            return self._bad(str(error))
        except (web.RequestPayloadError, ConnectionError) as error:  # or whoever asked has gone
            answer = self._bad(f"the body cannot be read: {' '.join(str(error).split())}")
            answer.force_close()  # nobody knows where the next request begins
            return answer
        except body_limits.TooLargeError:
            return web.Response(
                status=413, text=f"the body is too large; it must be at most {body_limits.LIMIT} bytes\n"
            )
        except TimeoutError:
            return web.Response(status=408, text=f"the body did not arrive within {body_limits.SECONDS:.0f} seconds\n")
        self._metrics.seconds.observe(time.perf_counter() - began)
        verdict = "allowed" if outcome.allowed else "refused"
        self._metrics.reviews.labels(outcome.kind, verdict, outcome.reason).inc()
        return web.Response(body=json.dumps(outcome.answer).encode(), content_type="application/json")

    def _bad(self, sentence: str) -> web.Response:
        self._metrics.bad_requests.inc()
        return web.Response(status=400, text=f"{sentence}\n")

    async def healthz(self, _: web.Request) -> web.Response:
        """Tell whether the process should live on."""
        return _state(self._health.alive())

    async def readyz(self, _: web.Request) -> web.Response:
        """Tell whether the process should be asked."""
        return _state(self._health.ready())

    async def metrics(self, _: web.Request) -> web.Response:
        """Show the metrics."""
        return metrics_response(self._metrics.registry)

    def _judge(self, body: bytearray) -> Outcome:
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
    try:
        return json.loads(body)
    except ValueError:  # also what is no UTF-8
        raise BadReviewError("the body is not JSON") from None


def _state(why_not: str | None) -> web.Response:
    return web.Response(status=503 if why_not else 200, text=f"{why_not or 'ok'}\n")


def secure_app(doors: Handlers) -> web.Application:
    """Return the application for the TLS port."""
    app = web.Application(client_max_size=body_limits.LIMIT)
    app.router.add_post("/validate", doors.validate)
    app.router.add_get("/healthz", doors.healthz)
    app.router.add_get("/readyz", doors.readyz)
    return app


def plain_app(doors: Handlers) -> web.Application:
    """Return the application for the plain port: nothing that may be posted to."""
    app = web.Application(client_max_size=1024)
    app.router.add_get("/healthz", doors.healthz)
    app.router.add_get("/readyz", doors.readyz)
    app.router.add_get("/metrics", doors.metrics)
    return app
