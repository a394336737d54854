"""Fixtures: a real API server, and a namespace with an operator. Figures go to `reports/contract.json`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.contract.restore import RestoreEnv, restore_env_on
from tests.contract.stage import Stage, staged, webhook_in_own_namespace
from tests.support.control_plane import api_server, bare_server, client, kubectl, mark
from tests.support.figures import Figures, reports
from tests.support.kubectl import Kubectl
from tests.support.webhook import Webhook

__all__ = ["api_server", "bare_server", "client", "kubectl"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "contract")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of these tests, for the report."""
    return reports(request.config)["contract"]


@pytest.fixture(scope="session")
def asked(api_server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    """The webhook, registered for a namespace of its own, in which its `kubectl` works."""
    with webhook_in_own_namespace(api_server, tmp_path_factory.mktemp("webhook")) as running:
        yield running


@pytest.fixture
async def stage(kubectl: Kubectl, client: KubeClient) -> AsyncIterator[Stage]:
    """An operator and a kubelet in the test's own namespace."""
    async with staged(kubectl, client) as running:
        yield running


@pytest.fixture
async def env(api_server: Cluster) -> AsyncIterator[RestoreEnv]:
    """A user's namespace; no operator runs yet."""
    async with restore_env_on(api_server) as restore_env:
        yield restore_env
