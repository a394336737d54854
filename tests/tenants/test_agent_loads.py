"""Loads that hang against a running agent: they are named, and the report says when only a restart ends them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from manyserve.agent.settings import AgentSettings
from tests.support.eventually import eventually
from tests.support.figures import reports
from tests.tenants.agent_process import agent_process

HANGING = tuple(f"h{number}" for number in range(AgentSettings().unfinished_loads))
NAMED = f"the model server has not finished {len(HANGING)} loads: {', '.join(HANGING)}"
RESTART = "; only a restart of the model server ends them"
QUICK = {"MANYSERVE_LOAD_SLOT_SECONDS": "0.2", "MANYSERVE_UNLOAD_SECONDS": "0.5"}


async def test_hanging_loads_are_named_and_end_with_a_restart(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    async with agent_process(tmp_path, **QUICK) as agent:
        for name in (*HANGING, "good"):
            agent.site.serve(f"/{name}/content", name.encode(), {"ETag": '"1"'})
        agent.triton.hanging |= set(HANGING)
        entries = [agent.entry(name) for name in HANGING]
        agent.config.write(*entries)
        await eventually(lambda: agent.triton.loading == set(HANGING), "four loads hang")
        agent.config.write(*entries, agent.entry("good"))
        good = await agent.has("good", "Loading", "waits")
        assert good.message == f"waits, since {NAMED}"
        assert (await agent.reports()).stuck_loads == ()
        agent.config.write(agent.entry("good"))
        await agent.reports(stuck_loads=HANGING)
        await agent.has("good", "Loading", f"{NAMED}{RESTART}")
        agent.triton.die()
        await agent.reports(server_ready=False, stuck_loads=())
        started = time.monotonic()
        agent.triton.dead = False
        await agent.has("good", "Loaded")
        seconds = time.monotonic() - started
    named = float(sum(name in good.message for name in HANGING))
    figures = reports(pytestconfig)["tenants"]
    figures.take("hanging loads named in the sentence of a fifth model", named, "loads", exactly=len(HANGING))
    figures.take("four hanging loads deleted, server restarted: fifth model loaded", seconds, "s", below=30)
