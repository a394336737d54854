"""Agents of an attacker, one for each form of hostile report, at neighbouring addresses and one port.

A pod of the attacker has one of these addresses. Without an attack each agent reports that it has no models.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.api.modelconfig import Entry, EntrySpec
from tests.support import make
from tests.support.eventually import eventually

MIB = 2**20
MODEL = "victim"
"""A model of the host, so that its report is read."""
SPEC = make.model_object(MODEL)["spec"]["model"]
DIGEST = Entry(model_name=MODEL, model_spec=EntrySpec.from_wire(SPEC)).digest
"""The version of the model that the host wants: a report about another one is not believed."""
ANSI = "\\u001b[2J\\u001b[31mred\\nline\\u202egnp.exe"
NOBODYS = ",".join(f'"x{number}":{{"state":"Loaded","digest":"d"}}' for number in range(400_000))
CALM = '{"instance":"calm","revision":1,"serverReady":true,"settled":true}'
Form = Callable[[int], str]


def report(number: int, models: str) -> str:
    """Return a report with a new revision."""
    return f'{{"instance":"a","revision":{number},"serverReady":true,"models":{{{models}}}}}'


def of_model(number: int, fields: str, state: str = "LoadFailed") -> str:
    """Return a report about the model of the host."""
    return report(number, f'"{MODEL}":{{"state":"{state}","digest":"{DIGEST}",{fields}}}')


def message(number: int, length: int) -> str:
    """Return a report with a message of so many characters, another one each time."""
    return of_model(number, f'"message":"{number} {ANSI}{"m" * length}"')


def numbers(number: int) -> str:
    """Return a report with numbers of 4,299 digits, the most that Python parses."""
    digits = "9" * 4299
    return of_model(number, f'"bytes":{digits},"bytesTotal":{digits},"downloadSeconds":{digits}', "Downloading")


FORMS: dict[str, Form | None] = {
    "a message of 15 MiB": lambda number: message(number, 15 * MIB),
    "a message that just fits": lambda number: message(number, MIB - 4096),
    "400,000 models": lambda number: report(number, NOBODYS),
    "models that just fit": lambda number: report(number, NOBODYS[: NOBODYS.rindex(',"', 0, MIB - 4096)]),
    "numbers of 4,299 digits": numbers,
    "ANSI text": lambda number: of_model(number, f'"message":"{number} {ANSI}","nextTry":"{ANSI}"'),
    "silence": None,
}
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(2, 2 + len(FORMS)))
UNPOLLED = "127.0.1.1"
"""Address of pods that only claim to be replicas: nobody should poll an agent there."""


class HostileAgents:
    """The agents, and the number of hostile answers so far, by form."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.polls_of_claimants = 0
        self._attacking = asyncio.Event()
        self._calm = asyncio.Event()

    async def status(self, form: str, request: web.Request) -> web.Response:
        """Answer a poll in one form, or as an idle agent does."""
        if not self._attacking.is_set() and request.query.get("instance") == "calm":
            with suppress(TimeoutError):
                await asyncio.wait_for(self._attacking.wait(), float(request.query["wait"]))
        if not self._attacking.is_set():
            return web.Response(text=CALM)
        body = FORMS[form]
        self.answers[form] += 1
        if body is None:
            await self._calm.wait()
            return web.Response(text=CALM)
        return web.Response(text=body(self.answers[form]))

    async def forged(self, _request: web.Request) -> web.Response:
        """Answer a poll of a pod that only claims to be a replica."""
        self.polls_of_claimants += 1
        return web.Response(text=CALM)

    @asynccontextmanager
    async def attack(self) -> AsyncIterator[None]:
        """Answer hostilely during the block, which begins when each form was asked for once more."""
        before = Counter(self.answers)
        self._calm.clear()
        self._attacking.set()
        try:
            await eventually(lambda: all(self.answers[form] > before[form] for form in FORMS), "each agent is polled")
            yield
        finally:
            self._attacking.clear()
            self._calm.set()


@asynccontextmanager
async def hostile_agents(port: int) -> AsyncIterator[HostileAgents]:
    """Run the agents at a port."""
    agents = HostileAgents()
    async with AsyncExitStack() as stack:
        handlers = [partial(agents.status, form) for form in FORMS] + [agents.forged]
        for handler, address in zip(handlers, (*ADDRESSES, UNPOLLED), strict=True):
            app = web.Application()
            app.router.add_get("/status", handler)
            server = TestServer(app, host=address, port=port)
            await server.start_server(shutdown_timeout=0.01)
            stack.push_async_callback(server.close)
        yield agents
