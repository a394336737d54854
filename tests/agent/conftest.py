from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from manyserve.agent import retry
from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.backoff import Backoff
from tests.agent.support import ConfigMount, FakeBucket, FakeTriton, Pod


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF", Backoff(base=0.05, cap=0.2))
    monkeypatch.setattr(retry, "BACKOFF_PERMANENT", Backoff(base=0.05, cap=0.2))


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    volume = tmp_path / "volume"
    triton, bucket, config = FakeTriton(volume / "models"), FakeBucket(), ConfigMount(tmp_path / "configs")
    servers = [TestServer(triton.app()), TestServer(bucket.app())]
    for server in servers:
        await server.start_server()
    settings = AgentSettings(
        store_dir=volume,
        config_file=config.path,
        server_url=str(servers[0].make_url("")).rstrip("/"),
        sources=SourceSettings(gcs_endpoint=str(servers[1].make_url("")).rstrip("/")),
        config_poll_seconds=0.01,
        index_poll_seconds=0.05,
        load_seconds=1.0,
        load_slot_seconds=0.1,
        unload_seconds=2.0,
        stall_seconds=10.0,
        disk_reserve=1,
    )
    pod = Pod(volume, triton, bucket, config, settings, servers)
    yield pod
    triton.release.set()
    await pod.stop()
    for server in pod.servers:
        await server.close()
