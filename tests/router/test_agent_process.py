"""The whole chain as processes: the agent with its model server, the router program and Envoy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from manyserve.api import agentenv
from tests.router.pods import PodPorts
from tests.router.rig import LIMIT, POLL, Rig
from tests.support.connections import ADDRESS
from tests.support.eventually import eventually
from tests.tenants.agent_process import AgentProcess, agent_process

pytestmark = pytest.mark.router


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[AgentProcess]:
    folder = tmp_path / "pod"
    folder.mkdir()
    async with agent_process(folder, **{agentenv.ROUTERS: "true"}) as agent:
        yield agent


async def test_removed_model_leaves_envoy_before_the_server(agent: AgentProcess, envoy: str, tmp_path: Path) -> None:
    await agent.loads("a")
    server = int(agent.server.rpartition(":")[2])
    rig = Rig(tmp_path, envoy, [], PodPorts(http=server, grpc=server, agent=agent.port))
    rig.pods_file.write_text(json.dumps([{"uid": "u", "name": "p", "ip": ADDRESS, "shard": 0}]))
    try:
        await rig.add_router()
        assert await rig.ask("/v2/models/a/infer") == (404, "404: Not Found"), "the stand-in has no inference"
        await eventually(lambda: is_routed(agent), "the agent reports the route", LIMIT, POLL)
        agent.config.write()
        await eventually(lambda: "unload a" in agent.triton.calls, "the unload", LIMIT, POLL)
        assert (await rig.ask("/v2/models/a/infer"))[0] == 503
        await eventually(lambda: is_unknown(rig), "the model is unknown", LIMIT, POLL)
    finally:
        await rig.close()


async def is_routed(agent: AgentProcess) -> bool:
    model = await agent.model("a")
    return bool(model and model.routed)


async def is_unknown(rig: Rig) -> bool:
    return await rig.ask("/v2/models/a/infer") == (404, {"error": "there is no model a on this host"})
