"""Servers of the activator on loopback, for HTTP and for gRPC. Only Envoy reaches them.

They answer the paths and methods about the server itself, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
from aiohttp import web

from manyserve import version
from manyserve.api.errors import StartupError
from manyserve.http_server import HttpServer
from manyserve.router.activator import RETRY_AFTER_SECONDS, Answer, answer, model_of
from manyserve.router.endpoints import LOOPBACK
from manyserve.router.envoy.inference import SERVICE
from manyserve.router.envoy.types import MODEL_HEADER
from manyserve.router.metrics import Metrics
from manyserve.router.state import RouterState

_TRUE = b"\x08\x01"
"""Serialized message with `true` as its first field."""
_SERVER = {f"/{SERVICE}/ServerLive": _TRUE, f"/{SERVICE}/ServerReady": _TRUE}


class Activator:
    """Both servers, from `start` to `stop`."""

    def __init__(self, state: RouterState, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._http: HttpServer | None = None
        self._grpc: grpc.aio.Server | None = None

    async def start(self, http_port: int, grpc_port: int) -> None:
        """Listen. Raises `StartupError`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._on_http)
        self._http = HttpServer(app, http_port, host=LOOPBACK)
        await self._http.start()
        self._grpc = grpc.aio.server(handlers=(_GrpcHandler(self),))
        try:
            self._grpc.add_insecure_port(f"{LOOPBACK}:{grpc_port}")
        except RuntimeError as error:
            raise StartupError(f"cannot bind {LOOPBACK}:{grpc_port}") from error
        await self._grpc.start()

    async def stop(self) -> None:
        """Close both ports."""
        await asyncio.gather(*(server.stop() for server in (self._http,) if server))
        if self._grpc:
            await self._grpc.stop(0)

    def answer(self, model: str) -> Answer:
        """Return the answer for a model, and count it."""
        result = answer(model, self._state, self._clock())
        self._metrics.activator.labels("unknown" if result.is_unknown else "unavailable").inc()
        return result

    async def _on_http(self, request: web.Request) -> web.Response:
        if model := model_of(request.path):
            result = self.answer(model)
            headers = {} if result.is_unknown else {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return web.json_response({"error": result.sentence}, status=result.status, headers=headers)
        return self._about_server(request.path)

    def _about_server(self, path: str) -> web.Response:
        if path in {"/v2/health/live", "/v2/health/ready"}:
            return web.Response()
        if path == "/v2":
            return web.json_response({"name": "manyserve", "version": version(), "extensions": []})
        if path in {"/v1/models", "/v2/models"}:
            return web.json_response({"models": sorted(self._state.routes.models)})
        return web.json_response({"error": f"there is no {path[:253]}"}, status=404)


class _GrpcHandler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Handler of every method. It reads no message of the request."""

    def __init__(self, activator: Activator) -> None:
        self._activator = activator

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        headers = dict(details.invocation_metadata)
        fixed = _SERVER.get(details.method)

        async def respond(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            if fixed is None:
                code, sentence = self._answer(headers.get(MODEL_HEADER, ""))
                await context.abort(code, sentence)
            else:
                yield fixed

        return grpc.stream_stream_rpc_method_handler(respond)

    def _answer(self, model: str) -> tuple[grpc.StatusCode, str]:
        if not model:
            return grpc.StatusCode.UNIMPLEMENTED, "the router has no such method"
        result = self._activator.answer(model)
        code = grpc.StatusCode.NOT_FOUND if result.is_unknown else grpc.StatusCode.UNAVAILABLE
        return code, result.sentence
