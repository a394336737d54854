"""Content that differs from its description, against a running agent: another version, more bytes, another backend."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import SHORTEST_REFRESH
from tests.agent.download.archives import zipped
from tests.support.eventually import eventually
from tests.support.figures import TENANTS_LONG, Figures
from tests.tenants.agent_process import LIMIT, MIB, POLL_SECONDS, AgentProcess, agent_process

LOOKS = 3 if TENANTS_LONG else 1
"""Refreshes during which a cache has the old content."""
REFRESH = f"{SHORTEST_REFRESH:g}s"
TAGGED = {"ETag": '"1"'}


@dataclass
class Cache:
    """A cache that answers HEAD from its store, and GET from an older copy of the same size until it is updated."""

    body: bytes = b"old."
    tag: str = '"old"'
    reads: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(headers={"ETag": '"new"', "Content-Length": str(len(self.body))})
        self.reads += 1
        return web.Response(body=self.body, headers={"ETag": self.tag})


async def test_content_of_another_version_than_head_named_is_replaced(tmp_path: Path, tenants: Figures) -> None:
    cache = Cache()
    async with agent_process(tmp_path) as agent:
        agent.site.handlers["/a/content"] = cache.answer
        agent.config.write(changed(agent.entry("a"), refresh_interval=REFRESH))
        await agent.has("a", "Loaded")
        assert agent.triton.served == {"a": "old."}
        first = cache.reads
        await eventually(lambda: cache.reads >= first + LOOKS, "it is refreshed", (LOOKS + 1) * LIMIT, POLL_SECONDS)
        assert agent.triton.loads("a") == 1, "the same version is not loaded again"
        cache.body, cache.tag, before = b"new.", '"new"', cache.reads
        await eventually(lambda: agent.triton.served == {"a": "new."}, "the new content is loaded", LIMIT, POLL_SECONDS)
        reads = cache.reads - before
    name = "HEAD names a version that GET does not have: reads until its content is loaded"
    tenants.take(name, reads, "reads", exactly=1)
    assert reads == 1


def changed(entry: Entry, **fields: str) -> Entry:
    """Return an entry with other fields of its model."""
    return entry.model_copy(update={"model_spec": entry.model_spec.model_copy(update=fields)})


def placed_before_the_rules(entry: Entry) -> Entry:
    return entry.model_copy(update={"model_spec": entry.model_spec.model_copy(update={"content_rules": None})})


async def test_files_larger_than_the_declared_memory_are_refused_in_a_new_model(
    tmp_path: Path, tenants: Figures
) -> None:
    async with agent_process(tmp_path) as agent:
        for name in ("large", "before"):
            agent.site.serve(f"/{name}/content", bytes(MIB), TAGGED)
        large = changed(agent.entry("large"), memory="1")
        before = placed_before_the_rules(changed(agent.entry("before"), memory="1"))
        agent.config.write(large, before)
        refused = await agent.has(
            "large", "DownloadFailed", "its files have 1Mi (1048576 bytes), more than the declared"
        )
        assert refused.permanent
        served = await agent.has("before", "Loaded")
        await agent.loads("small", large, before)
        reads = sum(each.method == "GET" and each.path == "/large/content" for each in agent.site.requests)
        loads = agent.triton.loads("large")
    tenants.take("files larger than their memory: loads of a new model", loads, "loads", exactly=0)
    assert (loads, reads) == (0, 1), "it is read once, since an archive may be smaller"
    assert served.warning.endswith("; it is served, and a new model is refused")


async def test_model_that_was_loaded_when_the_server_ended_waits_for_the_others(
    tmp_path: Path, tenants: Figures
) -> None:
    async with agent_process(tmp_path) as agent:
        triton = agent.triton
        for name in ("large", *"abc"):
            agent.site.serve(f"/{name}/content", name.encode(), TAGGED)
        triton.poison.add("large")
        good = [agent.entry(name) for name in "abc"]
        agent.config.write(*good)
        for name in "abc":
            await agent.has(name, "Loaded")
        agent.config.write(agent.entry("large"), *good)
        for ends in (1, 2):
            await server_ends(agent, ends)
        await agent.has("large", "LoadFailed", "the server ended while it was loaded")
        beside = [name for death in triton.deaths for name in death.split() if name != "large"]
    tenants.take("model that ends its server: other models that were in a load then", len(beside), "models", exactly=0)
    assert not beside


async def server_ends(agent: AgentProcess, times: int) -> None:
    """Wait until the server has ended so many times, restart it, and wait until it loads the good models again.

    Their loads are counted: the served models are lost within milliseconds when the next load ends the server.
    """
    triton = agent.triton
    await eventually(lambda: len(triton.deaths) == times, "the server ended", LIMIT, POLL_SECONDS)
    await agent.reports(server_ready=False)
    triton.dead = False
    loaded = 1 + times
    await eventually(lambda: min(map(triton.loads, "abc")) >= loaded, "the others are loaded", LIMIT, POLL_SECONDS)


def onnx_with(backend: str) -> bytes:
    """Return the archive of a model with an ONNX file, and a configuration that names a backend."""
    return zipped(
        ("1/model.onnx", b"x"),
        ("1/model.py", b"x"),
        ("config.pbtxt", b'backend: "%s"' % backend.encode()),
        ("content", backend.encode()),
    )


async def test_backend_of_another_framework_is_refused_in_a_new_model(tmp_path: Path, tenants: Figures) -> None:
    async with agent_process(tmp_path) as agent:
        backends = {"own": "onnxruntime", "code": "python", "before": "python"}
        for name, backend in backends.items():
            agent.site.serve(f"/{name}/m.zip", onnx_with(backend), TAGGED)
        entries = {name: agent.entry(name, "m.zip") for name in backends}
        entries["before"] = placed_before_the_rules(entries["before"])
        agent.config.write(*entries.values())
        await agent.has("own", "Loaded")
        await agent.has("code", "DownloadFailed", "config.pbtxt needs the backend python, and the framework onnx has: ")
        served = await agent.has("before", "Loaded")
        loads = agent.triton.loads("code")
    tenants.take("backend of another framework: loads of a new model", loads, "loads", exactly=0)
    assert loads == 0
    assert served.warning.endswith("; it is served, and a new model is refused")
