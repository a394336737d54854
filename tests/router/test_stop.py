"""Stop of a router: the signal of the kubelet begins it, and a request to its port never does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from manyserve.router.admin import EnvoyAdmin
from manyserve.router.settings import RouterSettings
from manyserve.router.stop import Stop
from tests.support.eventually import eventually


async def test_drain_of_anybody_waits_for_the_stop_and_begins_none(tmp_path: Path) -> None:
    """Each pod that reaches the port may send it, again and again."""
    envoy = EnvoyAdmin(tmp_path / "admin.sock")  # an Envoy that has ended
    stop = Stop(envoy, RouterSettings.model_validate({"MANYSERVE_ROUTER_ID": "uid"}))
    hook = asyncio.create_task(stop.until_drained())
    await asyncio.sleep(0)
    assert not stop.requested.is_set()
    assert not hook.done()
    await stop.run()
    await eventually(hook.done)
    await envoy.close()
