"""Proxy between the programs and the API server that injects faults by rules, and records every request.

Each program has its own kubeconfig, so the history has the client of each request. Watches are passed on line by
line. An open watch can be cut (between lines or within one), silenced with its connection open, or made to send
a line that the API server never sent.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.cluster.kubeconfig import find_cluster_config
from manyserve.cluster.wire import lines
from tests.faults.exchange import WRITES, Exchange, Line, hang_up, verb_of
from tests.faults.rules import Rule
from tests.support.eventually import NotInTime, eventually

BODY_LIMIT = 16 << 20


@dataclass
class Stream:
    """An open watch."""

    exchange: Exchange
    answer: web.StreamResponse
    silent: bool = False

    @property
    def open(self) -> bool:
        """Whether the client is still connected. An idle stream would not notice."""
        transport = self.exchange.request.transport
        return transport is not None and not transport.is_closing()

    async def say(self, line: bytes) -> None:
        """Send data, which may be half a line."""
        await self.answer.write(line)

    def cut(self) -> None:
        """Reset the connection."""
        hang_up(self.exchange.request)


class Proxy:
    """The running proxy."""

    def __init__(self, upstream: aiohttp.ClientSession, kubeconfig: Path) -> None:
        self.history: list[Line] = []
        self.streams: list[Stream] = []
        self.rules: list[Rule] = []
        self._lists: dict[str, bytes] = {}
        self._upstream = upstream
        self._kubeconfig = kubeconfig
        self._address = ""

    def kubeconfig(self, client: str, folder: Path, token: str | None = None) -> Path:
        """Return a kubeconfig for a client of this name that uses the proxy, with a token or as the administrator."""
        config = json.loads(self._kubeconfig.read_text())
        if token is not None:
            config["users"][0]["user"] = {"token": token}
        config["clusters"][0]["cluster"] = {"server": f"{self._address}/as/{client}"}
        path = folder / f"{client}.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    @contextmanager
    def faulty(self, *rules: Rule) -> Iterator[None]:
        """Add these rules before the present ones for the duration of the context."""
        before = self.rules
        self.rules = [*rules, *before]
        try:
            yield
        finally:
            self.rules = [each for each in self.rules if each not in rules]

    async def answered(self, limit: float = 10) -> None:
        """Wait until only open watches are in flight, since a half-open connection would be left behind."""
        with suppress(NotInTime):
            await eventually(lambda: sum(not each.seconds for each in self.history) <= len(self.streams), limit=limit)

    def watches(self, path: str = "") -> list[Stream]:
        """Return the open watches of a path."""
        return [each for each in self.streams if path in each.exchange.path]

    def writes(self, client: str = "") -> list[Line]:
        """Return the writes with a response, except Events."""
        return [
            each
            for each in self.history
            if each.verb in WRITES and "/events" not in each.path and (not client or each.client == client)
        ]

    def idle(self) -> float:
        """Return the seconds since the last write began, Events included."""
        return time.monotonic() - max((each.at for each in self.history if each.verb in WRITES), default=0.0)

    def save(self, path: Path) -> None:
        """Save the history as lines of JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in self.history))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle a request: forward it, unless a rule acts."""
        client = request.match_info["client"]
        path = request.raw_path.removeprefix(f"/as/{client}")
        watch = request.query.get("watch") in ("true", "1")
        verb = verb_of(request.method, path.partition("?")[0], watch=watch)
        line = Line(time.monotonic(), client, verb, path)
        self.history.append(line)
        exchange = Exchange(request, self._upstream, client, path, verb, self._lists)
        try:
            answer = await self._answer(exchange, line)
            line.status = answer.status
            return answer
        finally:
            line.seconds = time.monotonic() - line.at

    async def _answer(self, exchange: Exchange, line: Line) -> web.StreamResponse:
        rule = next((each for each in self.rules if each.acts(exchange.verb, exchange.path, exchange.client)), None)
        if rule is not None:
            line.fault = rule.what
            return await rule.do(exchange)
        if exchange.verb == "watch":
            return await self._watch(exchange)
        return await exchange.forward()

    async def _watch(self, exchange: Exchange) -> web.StreamResponse:
        answer = web.StreamResponse()
        try:
            async with await exchange.ask() as upstream:
                answer.set_status(upstream.status)
                await answer.prepare(exchange.request)
                stream = Stream(exchange, answer)
                self.streams.append(stream)
                try:
                    async for line in lines(upstream.content):
                        if not stream.silent:
                            await answer.write(line + b"\n")
                finally:
                    self.streams.remove(stream)
                    if upstream.connection is not None and upstream.connection.transport is not None:
                        upstream.connection.transport.abort()
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return exchange.reset()
        return answer


@asynccontextmanager
async def proxying(kubeconfig: Path) -> AsyncIterator[Proxy]:
    """Run a proxy before the API server of a kubeconfig."""
    access = find_cluster_config({"KUBECONFIG": str(kubeconfig)})
    connector = aiohttp.TCPConnector(limit=0, ssl=access.tls or True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with aiohttp.ClientSession(access.server, connector=connector, timeout=timeout) as upstream:
        proxy = Proxy(upstream, kubeconfig)
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_route("*", "/as/{client}/{path:.*}", proxy.handle)
        server = TestServer(app, access_log=None)
        await server.start_server(shutdown_timeout=0.01)
        proxy._address = f"http://127.0.0.1:{server.port}"
        try:
            yield proxy
        finally:
            await proxy.answered()
            for stream in list(proxy.streams):
                stream.cut()
            await server.close()
