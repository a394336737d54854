"""Rig: a real model server, the real agent and a store of models, as in one pod."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from manyserve.api.agentreport import AgentReport, ModelReport
from manyserve.api.routes import Traffic
from tests.agent.support import ConfigMount, FakeBucket
from tests.support.eventually import eventually

START_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass
class Rig:
    """One pod of real programs. A model is a line through 0, so its answer to 1 is its slope."""

    folder: Path
    command: Sequence[str]
    env: Mapping[str, str]
    server: str
    dialect: str
    agent_url: str
    bucket: FakeBucket
    lines: Mapping[int, bytes]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the agent."""
    config: ConfigMount = field(init=False)
    http: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)
    running: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = ConfigMount(self.folder / "configs")

    @property
    def models(self) -> Path:
        """Folder of the models that the server reads."""
        return self.folder / "volume" / "models"

    def put(self, name: str, slope: int | None, **files: bytes) -> None:
        """Put a model into the store; without a slope its file is invalid."""
        self.bucket.objects[f"models/{name}/model.joblib"] = b"no model" if slope is None else self.lines[slope]
        for file, content in files.items():
            self.bucket.objects[f"models/{name}/{file}"] = content

    async def start_server(self) -> None:
        self.models.mkdir(parents=True, exist_ok=True)
        await self._run("server", self.command, self.env)

    async def start_agent(self) -> None:
        settings = {
            "MANYSERVE_STORE_DIR": str(self.folder / "volume"),
            "MANYSERVE_CONFIG_FILE": str(self.config.path),
            "MANYSERVE_SERVER_URL": self.server,
            "MANYSERVE_SERVER_DIALECT": self.dialect,
            "MANYSERVE_GCS_ENDPOINT": self.bucket.url,
            "MANYSERVE_AGENT_PORT": self.agent_url.rpartition(":")[2],
            "MANYSERVE_INDEX_POLL_SECONDS": "0.2",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        program = "import sys; from manyserve.cli import main; sys.argv = ['manyserve', 'agent']; main()"
        await self._run("agent", [sys.executable, "-c", program], {**self.settings, **settings})

    async def _run(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *command, env=os.environ | env, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    async def kill(self, name: str) -> None:
        """Kill a program and its children."""
        process = self.running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def close(self) -> None:
        for name in tuple(self.running):
            await self.kill(name)
        await self.http.close()

    async def report(self) -> AgentReport | None:
        """Return the agent's report; None while it does not answer."""
        try:
            async with self.http.get(f"{self.agent_url}/status") as answer:
                return AgentReport.from_wire(await answer.json())
        except aiohttp.ClientError:
            return None

    async def shows(self, **states: str) -> dict[str, ModelReport]:
        """Wait until the agent reports these states, and return its report; a failure has the report and the logs."""
        reports: dict[str, ModelReport] = {}

        async def has_states() -> bool:
            report = await self.report()
            reports.clear()
            reports.update(report.models if report else {})
            return {name: model.state.value for name, model in reports.items()} == states

        try:
            await eventually(has_states, f"the agent reports {states}", START_SECONDS, POLL_SECONDS)
        except AssertionError as error:
            logs = [log.read_text()[-3000:] for log in sorted(self.folder.glob("*.log"))]
            raise AssertionError("\n".join(["report of the agent:", str(reports), *logs])) from error
        return reports

    async def requests(self) -> dict[str, int]:
        """Return the counted requests by model, from the traffic in the agent's answer."""
        async with self.http.get(f"{self.agent_url}/traffic") as answer:
            traffic = Traffic.model_validate_json(await answer.read())
        return {name: each.requests for name, each in traffic.models.items()}

    async def answer(self, name: str) -> float | int:
        """Return the answer of a model to 1, its slope, or the status of an error."""
        body: dict[str, Any]
        if self.dialect == "v1":
            path, body = f"/v1/models/{name}:predict", {"instances": [[1.0]]}
        else:
            tensor: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}
            path, body = f"/v2/models/{name}/infer", {"inputs": [tensor]}
        async with self.http.post(f"{self.server}{path}", json=body) as answer:
            if answer.status != 200:
                return answer.status
            result = await answer.json()
        (value,) = result["predictions"] if self.dialect == "v1" else result["outputs"][0]["data"]
        return round(float(value), 6)
