"""Pod without a cluster: an agent, a fake model server, a fake bucket and the folder of a ConfigMap."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.job import AgentContext
from manyserve.agent.loop import Agent
from manyserve.agent.main import build
from manyserve.agent.servers import V2Server
from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.agent.volume.store import Store
from manyserve.api.agentreport import AgentReport, ModelReport
from manyserve.api.modelconfig import Entry, dump
from tests.support.eventually import eventually

# obstore panics now and then, without effect, when a stream that was cancelled is collected outside its runtime.
DROPPED_STREAMS = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning"
)


WHOLE_POD = 60.0
"""Seconds of a wait for the models of a pod."""


def entry(name: str, uri: str = "", framework: str = "onnx", memory: str = "1Mi", **more: str) -> Entry:
    spec = {"storageUri": uri or f"gs://bucket/models/{name}", "framework": framework, "memory": memory, **more}
    return Entry.from_wire({"modelName": name, "modelSpec": spec})


class Counted:
    """Progress listener that counts."""

    def __init__(self) -> None:
        self.came = 0
        self.lies = 0

    def arrived(self, count: int) -> None:
        self.came += count

    def stored(self, count: int) -> None:
        self.lies += count

    def complete(self) -> None:
        pass


class CancelOnArrival(Counted):
    """Cancels a download when its first bytes arrive."""

    task: asyncio.Task[Any]

    def arrived(self, count: int) -> None:
        super().arrived(count)
        self.task.cancel()


def read_steps(folder: Path) -> tuple[str, ...]:
    """Return the steps of an ensemble, by a plain search in its configuration."""
    file = folder / "config.pbtxt"
    return tuple(re.findall(r'model_name: "([^"]*)"', file.read_text())) if file.exists() else ()


def newest(folder: Path) -> int:
    return max(path.stat().st_mtime_ns for path in (folder, *folder.rglob("*")))


@dataclass
class FakeTriton:
    """Server of the v2 repository API with scripted faults for each model."""

    models: Path
    states: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    hanging: set[str] = field(default_factory=set)
    refusing: dict[str, str] = field(default_factory=dict)
    lying: set[str] = field(default_factory=set)
    lagging: set[str] = field(default_factory=set)
    """Models with an unload that is answered at once and ends later, and needs their files until then."""
    keeping: set[str] = field(default_factory=set)
    """Models that it refuses to unload."""
    torn: list[str] = field(default_factory=list)
    """Models with files that were incomplete at a load, or missing at the end of an unload."""
    served: dict[str, str] = field(default_factory=dict)
    dates: dict[str, int] = field(default_factory=dict)
    """Times of the loaded files; files that are not newer are not read again."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    ensembles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Steps of the ensembles that the server knows. As in Triton, it loads steps with an ensemble, unloads an ensemble
    with a step, and loads it again with the step."""
    poison: set[str] = field(default_factory=set)
    """Contents of files that end the server when they are loaded; it answers again once `dead` is False."""
    dead: bool = False
    ends_after: str = ""
    """Model after the answered load of which the server ends once, at the next request for the index."""
    deaths: list[str] = field(default_factory=list)
    """For each end of the server, the models with a load under way, separated by blanks."""
    loading: set[str] = field(default_factory=set)
    requests: list[web.Request] = field(default_factory=list)
    polls: int = 0
    """Number of requests for the index."""

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.aborts])
        app.router.add_post("/v2/repository/index", self.index)
        app.router.add_post("/v2/repository/models/{name}/load", self.load)
        app.router.add_post("/v2/repository/models/{name}/unload", self.unload)
        return app

    @web.middleware
    async def aborts(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Break the connections of a server that ended, also during a request."""
        if self.dead and request.transport:
            request.transport.abort()
            return web.Response()
        self.requests.append(request)
        try:
            response: web.StreamResponse = await handler(request)
            return response
        finally:
            self.requests.remove(request)

    def die(self) -> None:
        """End, as a segmentation fault does. A restart sets `dead` to False."""
        self.deaths.append(" ".join(sorted(self.loading)))
        self.dead = True
        self.loading.clear()
        self.forget()
        for request in self.requests:
            if request.transport:
                request.transport.abort()

    def forget(self) -> None:
        """Lose all models, as a restart does."""
        self.states.clear()
        self.ensembles.clear()
        self.served.clear()
        self.dates.clear()

    def content(self, name: str) -> str:
        file = self.models / name / "content"
        return file.read_text() if file.exists() else ""

    def loads(self, name: str) -> int:
        return self.calls.count(f"load {name}")

    async def index(self, _: web.Request) -> web.Response:
        """List the models, as Triton does only those with a folder."""
        self.polls += 1
        if self.ends_after in self.served:
            self.ends_after = ""
            self.die()
        rows = [
            {"name": name, "version": "1", "state": state, "reason": why}
            for name, (state, why) in self.states.items()
            if (self.models / name).exists()
        ]
        return web.json_response(rows)

    async def load(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.calls.append(f"load {name}")
        self._work = asyncio.create_task(self._load(name))
        return await asyncio.shield(self._work)  # goes on when the caller hangs up

    async def _load(self, name: str) -> web.Response:
        self.loading.add(name)
        try:
            return await self._loaded(name)
        finally:
            self.loading.discard(name)

    async def _loaded(self, name: str) -> web.Response:
        before, deaths = self.states.get(name), len(self.deaths)
        if self.content(name) in self.poison:
            self.die()
        elif name in self.hanging:
            self.states[name] = ("LOADING", "")
            await self.release.wait()
        if deaths < len(self.deaths):
            return web.Response()
        if name in self.refusing:
            self.states[name] = before if before and before[0] == "READY" else ("UNAVAILABLE", self.refusing[name])
            return web.json_response({"error": self.refusing[name]}, status=400)
        if name in self.lying:
            self.states[name] = ("UNAVAILABLE", "it only said so")
            return web.Response()
        try:
            date = newest(self.models / name)
            if before and before[0] == "READY" and date <= self.dates[name]:
                return web.Response()
            self.served[name] = (self.models / name / "content").read_text()
            self.dates[name] = date
        except OSError:
            self.torn.append(name)
            if self.states.get(name) == ("LOADING", ""):
                self.states[name] = ("UNAVAILABLE", "failed to poll from model repository")
            return web.json_response({"error": "failed to poll from model repository"}, status=500)
        return await self._ready(name)

    async def _ready(self, name: str) -> web.Response:
        """Set a model and its ensembles READY; load the steps of an ensemble first."""
        steps = read_steps(self.models / name)
        for step in steps:
            if self.states.get(step, ("", ""))[0] != "READY" and (await self._loaded(step)).status != 200:
                self.states[name] = ("UNAVAILABLE", f"no step {step}")
                return web.json_response({"error": f"no step {step}"}, status=400)
        if steps:
            self.ensembles[name] = steps
        for each in (name, *self._ensembles_with(name)):
            self.states[each] = ("READY", "")
            self.served[each] = self.content(each)
        return web.Response()

    def _ensembles_with(self, step: str) -> list[str]:
        return [name for name, steps in self.ensembles.items() if step in steps]

    async def unload(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.calls.append(f"unload {name}")
        if name in self.keeping:
            return web.json_response({"error": "it is in use"}, status=400)
        if name in self.lagging:
            self.states[name] = ("UNLOADING", "")
            self._ending = asyncio.create_task(self._end(name))
        else:
            self.states[name] = ("UNAVAILABLE", "unloaded")
        self.served.pop(name, None)
        self.ensembles.pop(name, None)
        for ensemble in self._ensembles_with(name):
            self.states[ensemble] = ("UNAVAILABLE", "unloaded")
            self.served.pop(ensemble, None)
        return web.Response()

    async def _end(self, name: str) -> None:
        await asyncio.sleep(0.2)
        if not (self.models / name).exists():
            self.torn.append(name)
        self.states[name] = ("UNAVAILABLE", "unloaded")


@dataclass
class FakeBucket:
    """Bucket of Google's storage with the two calls that obstore makes, and faults."""

    objects: dict[str, bytes] = field(default_factory=dict)
    fault: str = ""
    gets: list[str] = field(default_factory=list)
    lists: int = 0
    url: str = ""
    during: Callable[[], None] | None = None
    """Called once, while an object is read."""

    def put(self, name: str, content: str = "") -> None:
        self.objects[f"models/{name}/content"] = content.encode()
        self.objects[f"models/{name}/1/model.bin"] = b"weights"

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/bucket", self.list)
        app.router.add_get("/bucket/{key:.*}", self.get)
        return app

    async def list(self, request: web.Request) -> web.Response:
        self.lists += 1
        if answer := await self._fault("list"):
            return answer
        prefix = request.query.get("prefix", "")
        objects = {key: data for key, data in sorted(self.objects.items()) if key.startswith(prefix)}
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f'<ETag>"{hash(data)}"</ETag><Size>{len(data)}</Size></Contents>'
            for key, data in objects.items()
        )
        return web.Response(text=f"<ListBucketResult>{rows}</ListBucketResult>", content_type="application/xml")

    async def get(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        self.gets.append(key)
        if answer := await self._fault("get"):
            return answer
        if key not in self.objects:
            return web.Response(status=404)
        data = self.objects[key]
        if self.during:
            during, self.during = self.during, None
            during()
        if self.fault == "longer":
            data += b"more"
        headers = {"ETag": f'"{hash(data)}"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if self.fault == "drip":
            return await self._drip(request, headers, data)
        return web.Response(body=data, headers=headers)

    async def _fault(self, call: str) -> web.Response | None:
        if self.fault == f"hang {call}":
            await asyncio.sleep(60)
        words = self.fault.split()
        return web.Response(status=int(words[1]), text="no") if words[:1] == ["status"] else None

    async def _drip(self, request: web.Request, headers: dict[str, str], data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers | {"Content-Length": str(len(data))})
        await response.prepare(request)
        for byte in data:
            await response.write(bytes([byte]))
            await asyncio.sleep(0.1)
        return response


class ConfigMount:
    """Folder of a ConfigMap as the kubelet mounts it: the content changes by the swap of one link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "models.json"
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, *entries: Entry) -> None:
        self.write_text(dump(entries))

    def write_text(self, text: str | bytes, name: str = "models.json") -> None:
        self._count += 1
        version = self.folder / f"..{self._count}"
        version.mkdir()
        (version / name).write_bytes(text.encode() if isinstance(text, str) else text)
        link = self.folder / "..new"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")
        if not (self.folder / name).is_symlink():
            (self.folder / name).symlink_to(f"..data/{name}")


@dataclass
class Pod:
    """One pod. `start` starts or restarts the agent; `stop` kills it."""

    root: Path
    triton: FakeTriton
    bucket: FakeBucket
    config: ConfigMount
    settings: AgentSettings
    servers: list[TestServer] = field(default_factory=list)
    agent: Any = None
    context: Any = None
    store: Store | None = None
    _task: asyncio.Task[None] | None = None
    _port: int | None = None

    async def start(self) -> None:
        repository = V2Server(self.settings.server_url)
        context: AgentContext = build(self.settings, repository)
        context.jitter = lambda: 0.01
        if self.store:
            context.store = context.state._store = self.store
        self.context, self.agent = context, Agent(context)
        self._task = asyncio.create_task(self.agent.run())

    async def running(self, *names: str) -> None:
        """Start with these models, and wait until they are loaded."""
        for name in names:
            self.bucket.put(name, name)
        self.config.write(*map(entry, names))
        await self.start()
        await eventually(lambda: self.states() == dict.fromkeys(names, "Loaded"), limit=WHOLE_POD)

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            await self.context.server.close()
        self._task = None

    async def server_stops(self) -> None:
        self._port = self.servers[0].port
        await self.servers.pop(0).close()

    async def server_starts(self, *between: Any) -> None:
        """Restart the server; `between` are middlewares in front of it."""
        self.triton.forget()
        app = self.triton.app()
        app.middlewares.extend(between)
        server = TestServer(app, port=self._port)
        await server.start_server()
        self.servers.insert(0, server)

    @property
    def report(self) -> AgentReport:
        report: AgentReport = self.agent.publisher.report
        return report

    def model(self, name: str) -> ModelReport:
        return self.report.models[name]

    def states(self) -> dict[str, str]:
        return {name: model.state.value for name, model in self.report.models.items()}

    async def shows(self, **states: str) -> None:
        expected = {name.replace("_", "-"): state for name, state in states.items()}
        await eventually(lambda: self.states() == expected, f"the models are {expected}", WHOLE_POD)

    async def polled(self, count: int = 3) -> None:
        """Wait until the agent has read the server's index some more times, and has had as many turns."""
        polls = self.triton.polls
        await eventually(lambda: self.triton.polls >= polls + count, "the agent reads the index")

    def files(self) -> Iterator[str]:
        """Yield all files of models, also during a removal."""
        for folder, _, names in os.walk(self.root):
            yield from (str((Path(folder) / name).relative_to(self.root)) for name in names if name != "SETTLED")


@asynccontextmanager
async def fake_pod(folder: Path, **options: Any) -> AsyncIterator[Pod]:
    """Yield a pod that is not started yet; `options` are settings of its agent."""
    volume = folder / "volume"
    triton, bucket, config = FakeTriton(volume / "models"), FakeBucket(), ConfigMount(folder / "configs")
    servers = [TestServer(triton.app()), TestServer(bucket.app())]
    for server in servers:
        await server.start_server()
    quick = {
        "config_poll_seconds": 0.01,
        "index_poll_seconds": 0.05,
        "load_seconds": 60.0,
        "load_slot_seconds": 0.1,
        "silence_seconds": 0.2,  # no operator polls
        "unload_seconds": 60.0,
        "stall_seconds": 60.0,
        "disk_reserve": 1,
        "disk_reserve_percent": 0,
    }
    settings = AgentSettings(
        store_dir=volume,
        config_file=config.path,
        server_url=str(servers[0].make_url("")).rstrip("/"),
        sources=SourceSettings(gcs_endpoint=str(servers[1].make_url("")).rstrip("/")),
        **(quick | options),
    )
    pod = Pod(volume, triton, bucket, config, settings, servers)
    yield pod
    triton.release.set()
    await pod.stop()
    for server in pod.servers:
        await server.close()
