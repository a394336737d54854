"""The program `manyserve agent` in a process of its own, with stores on loopback and a stand-in for its Triton.

The environment is that of the pod template, for a chart that allows http:// and loopback addresses. Only paths,
addresses and a few waits differ. The stand-in for Triton serves models with a file `content`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyserve.api import agentenv
from manyserve.api.agentreport import AgentReport, ModelReport
from manyserve.api.modelconfig import Entry
from manyserve.plan.children.pod_template import build_agent
from manyserve.plan.storage.env import configured
from manyserve.plan.storage.mounts import Sources
from tests.agent.download.webserver import Site
from tests.agent.servers.rig import Rig
from tests.agent.support import FakeBucket, FakeTriton
from tests.agent.test_content import new
from tests.support import make
from tests.support.connections import ADDRESS
from tests.support.eventually import eventually
from tests.support.programs import free_port
from tests.tenants.agent_servers import triton_server

MIB = 1024 * 1024
LIMIT = 60.0
"""Seconds of a wait for a model. The goals of the table are tighter, and figures of their own."""
POLL_SECONDS = 0.05
_LOOPBACK = {"https": {"allowHttp": True, "allowedNetworks": ["127.0.0.0/8"]}}


def container() -> dict[str, Any]:
    """Return the agent's container of a host with Triton."""
    config = make.config(credentials=_LOOPBACK)
    return build_agent(make.host(), config, Sources(configured(config.credentials)))


def environment() -> dict[str, str]:
    """Return the container's variables, except the pod's UID."""
    return {each["name"]: each["value"] for each in container()["env"] if "value" in each}


@dataclass
class AgentProcess(Rig):
    """A running agent, its model server and one web server with the models."""

    triton: FakeTriton = field(kw_only=True)
    site: Site = field(kw_only=True)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Ends the responses of slow and silent servers."""

    @property
    def pid(self) -> int:
        return self.running["agent"].pid

    @property
    def port(self) -> int:
        return int(self.agent_url.rpartition(":")[2])

    @property
    def volume(self) -> Path:
        return self.folder / "volume"

    def entry(self, name: str, file: str = "content", *, site: Site | None = None, host: str = ADDRESS) -> Entry:
        """Return the entry of a model at a web server, as the operator places a new one."""
        return new(name, "4Gi", uri=(site or self.site).url(f"/{name}/{file}", host, "http"))

    async def model(self, name: str) -> ModelReport | None:
        report = await self.report()
        return report.models.get(name) if report else None

    async def loads(self, name: str, *others: Entry) -> float:
        """Add a model of four bytes beside others, and return the seconds until it is loaded."""
        self.site.serve(f"/{name}/content", b"tiny", {"ETag": '"1"'})
        started = time.monotonic()
        self.config.write(*others, self.entry(name))
        await self.has(name, "Loaded")
        return time.monotonic() - started

    async def has(self, name: str, state: str, words: str = "") -> ModelReport:
        """Wait until a model is in a state with these words in its message, and return its report."""

        async def reached() -> ModelReport | None:
            model = await self.model(name)
            return model if model and model.state.value == state and words in model.message else None

        try:
            reached_: ModelReport = await eventually(reached, f"{name} is {state}: {words}", LIMIT, POLL_SECONDS)
        except AssertionError as error:
            log = (self.folder / "agent.log").read_text()[-3000:]
            raise AssertionError(f"{error}\n{await self.report()}\n{log}") from error
        return reached_

    async def reports(self, **fields: object) -> AgentReport:
        """Wait until the report has these values, and return it."""

        async def reached() -> AgentReport | None:
            report = await self.report()
            return report if report and all(getattr(report, key) == each for key, each in fields.items()) else None

        report: AgentReport = await eventually(reached, f"the report has {fields}", LIMIT, POLL_SECONDS)
        return report

    async def downloaded(self, least: float = 0.0) -> float:
        """Wait until the metrics show so many bytes of all downloads, and return their number."""

        async def count() -> float | None:
            async with self.http.get(f"{self.agent_url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            name = "manyserve_agent_download_bytes_total"
            value = next(float(line.split()[1]) for line in lines if line.startswith(name))
            return value if value > least else None

        value: float = await eventually(count, f"more than {least} bytes are downloaded", pause=POLL_SECONDS)
        return value

    def reset_peak(self) -> None:
        """Let the peak of resident memory begin at the present value."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """Return the peak of the agent's resident memory, in MiB."""
        (line,) = (each for each in Path(f"/proc/{self.pid}/status").read_text().split("\n") if "VmHWM" in each)
        return int(line.split()[1]) / 1024

    def files(self) -> int:
        """Return the number of files and folders on the volume."""
        return sum(len(folders) + len(names) for _, folders, names in os.walk(self.volume))


@asynccontextmanager
async def agent_process(folder: Path, dialect: str = "v2", **settings: str) -> AsyncIterator[AgentProcess]:
    """Run the agent without models until the end of the block; `settings` are further variables."""
    triton, site = FakeTriton(folder / "volume" / "models"), Site()
    servers = [triton_server(triton), await site.start(None)]
    await servers[0].start_server()
    url, own = str(servers[0].make_url("")).rstrip("/"), f"http://{ADDRESS}:{free_port()}"
    env = environment() | settings
    env.pop(agentenv.ALLOWED_BACKENDS if dialect != "v2" else "", None)
    agent = AgentProcess(folder, (), {}, url, dialect, own, FakeBucket(), {}, env, triton=triton, site=site)
    agent.config.write()
    await agent.start_agent()
    try:
        await agent.reports(server_ready=True)
        yield agent
    finally:
        triton.release.set()
        agent.release.set()
        await agent.close()
        for server in servers:
            await server.close()
