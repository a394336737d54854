"""Strict pods: model servers that refuse a model that is not loaded, each with the routes of a real agent.

All pods have the same ports, on addresses of loopback of their own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import web

from manyserve.agent.routes.handlers import RouteHandlers
from manyserve.agent.routes.routing import Routing
from manyserve.api.routes import RouteState
from manyserve.http_server import HttpServer

SERVICE = "/inference.GRPCInferenceService/"
CHUNKS = 5
"""Events of a streamed response."""


@dataclass(frozen=True)
class PodPorts:
    """Ports of all pods of one test."""

    http: int
    grpc: int
    agent: int


@dataclass(eq=False)
class StrictPod:
    """One pod."""

    uid: str
    ip: str
    ports: PodPorts
    loaded: set[str] = field(default_factory=set)
    states: dict[str, RouteState] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    headers: list[dict[str, str]] = field(default_factory=list)
    """Headers of the requests."""
    misrouted: list[str] = field(default_factory=list)
    """Requests for models that are not loaded, and for paths of no model."""
    chunk_seconds: float = 0.01
    busy: int = 0
    routing: Routing = field(init=False)

    def __post_init__(self) -> None:
        self.new_agent()

    @property
    def entry(self) -> dict[str, object]:
        return {"uid": self.uid, "name": f"pod-{self.uid}", "ip": self.ip, "shard": int(self.uid)}

    def new_agent(self) -> None:
        """Restart the agent: it forgets its routers, and has a new instance."""
        self.routing = Routing(f"agent-{time.monotonic_ns()}", time.monotonic, lambda: None)
        self.routing.table.put(dict(self.states))

    def set_state(self, **states: RouteState | None) -> None:
        """Report other states of models; None: the model is gone."""
        for name, state in states.items():
            if state is None:
                self.states.pop(name, None)
            else:
                self.states[name] = state
        self.routing.table.put(dict(self.states))

    def load(self, *names: str) -> None:
        self.loaded |= set(names)
        self.set_state(**dict.fromkeys(names, RouteState.LOADED))

    async def unload(self, *names: str) -> None:
        """Unload models as an agent does, after the routers' acknowledgements."""
        self.set_state(**dict.fromkeys(names, RouteState.LEAVING))
        await asyncio.gather(*(self.routing.leave(name) for name in names))
        self.loaded -= set(names)
        self.set_state(**dict.fromkeys(names, None))

    # the model server

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{api:v1|v2}/models/{model:[^/:]+}{rest:.*}", self._on_request)
        app.router.add_route("*", "/{path:.*}", self._on_other)
        self._http = HttpServer(app, self.ports.http, host=self.ip, connections=5000)
        self._grpc = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)], handlers=(_Handler(self),))
        self._grpc.add_insecure_port(f"{self.ip}:{self.ports.grpc}")
        await asyncio.gather(self._http.start(), self.start_agent(), self._grpc.start())

    async def stop_agent(self) -> None:
        await self._agent.stop()

    async def start_agent(self) -> None:
        agent = web.Application()
        agent.router.add_route("*", "/routes", self._on_routes)
        self._agent = HttpServer(agent, self.ports.agent, host=self.ip)
        await self._agent.start()

    async def _on_routes(self, request: web.Request) -> web.Response:
        handlers = RouteHandlers(self.routing)
        return await (handlers.get(request) if request.method == "GET" else handlers.delete(request))

    async def stop(self) -> None:
        await asyncio.gather(self._http.stop(), self._agent.stop(), self._grpc.stop(0))

    def admit(self, model: str) -> bool:
        """Count a request for a model. Return whether the model is loaded."""
        if model not in self.loaded:
            self.misrouted.append(model)
            return False
        self.requests[model] += 1
        return True

    async def _on_request(self, request: web.Request) -> web.StreamResponse:
        model, rest = request.match_info["model"], request.match_info["rest"]
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if not self.admit(model):
            return web.json_response({"error": f"no {model} here"}, status=404)
        self.busy += 1
        try:
            body = await request.read()
            if rest == "/generate_stream":
                return await self._stream(request)
        finally:
            self.busy -= 1
        return web.json_response({"pod": self.uid, "model": model, "path": request.path, "bytes": len(body)})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(CHUNKS):
            await response.write(f"data: {json.dumps({'pod': self.uid, 'n': number})}\n\n".encode())
            await asyncio.sleep(self.chunk_seconds)
        return response

    async def _on_other(self, request: web.Request) -> web.Response:
        self.misrouted.append(request.path)
        return web.Response(status=404)


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Echo of each message, after the model of the first one was checked."""

    def __init__(self, pod: StrictPod) -> None:
        self._pod = pod

    def service(self, details: Any) -> Any:
        pod = self._pod
        pod.headers.append({name: str(value) for name, value in details.invocation_metadata})

        async def echo(messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            model = None
            async for message in messages:
                model = model or first_field(message)
                if not pod.admit(model):
                    await context.abort(grpc.StatusCode.NOT_FOUND, f"no {model} here")
                yield field_1(f"{pod.uid} {model} {len(message)}")

        return grpc.stream_stream_rpc_method_handler(echo)


def field_1(text: str) -> bytes:
    """Return a message with a text as its first field."""
    data = text.encode()
    return b"\x0a" + varint(len(data)) + data


def infer_request(model: str, size: int = 0) -> bytes:
    """Return a `ModelInferRequest` with so many bytes of raw contents."""
    return (field_1(model) if model else b"") + (b"\x3a" + varint(size) + bytes(size) if size else b"")


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append((number & 127) | 128)
        number >>= 7
    return bytes([*out, number])


def first_field(message: bytes) -> str:
    """Return the text in the first field of a message."""
    if message[:1] != b"\x0a":
        return ""
    length, start = message[1], 2
    if length > 127:
        length, start = (length & 127) | message[2] << 7, 3
    return message[start : start + length].decode()
