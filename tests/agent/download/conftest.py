from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.download.webserver import Site, Trust, make_trust


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    return make_trust(tmp_path_factory.mktemp("trust"))


@pytest.fixture
async def site(trust: Trust) -> AsyncIterator[Site]:
    site = Site()
    server = await site.start(trust.tls)
    yield site
    await server.close()


@pytest.fixture
async def plain() -> AsyncIterator[Site]:
    """A site without TLS, for responses that hang. With TLS, this server never closes an aborted connection."""
    site = Site()
    server = await site.start(None)
    yield site
    await server.close()


@pytest.fixture
def config(trust: Trust, tmp_path: Path) -> AgentSettings:
    sources = SourceSettings(
        allowed_networks=(ip_network("127.0.0.1/32"),),
        ca_file=trust.ca_file,
        credentials_dir=tmp_path / "secrets",
        range_bytes=100_000,
    )
    return AgentSettings(sources=sources, stall_seconds=10)
