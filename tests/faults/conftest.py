"""Fixtures of the fault tests. The history of a failed test is saved; figures go to `reports/faults.json`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.faults.env import LONG, FaultEnv, playing
from tests.support.control_plane import api_server, client, kubectl, mark
from tests.support.figures import REPORTS, Figures, reports
from tests.support.kubectl import Kubectl

__all__ = ["api_server", "client", "kubectl"]

FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "faults")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Report of the figures of the rows."""
    return reports(request.config)["faults"]


@pytest.fixture
def short_silence() -> bool:
    """Whether the operator closes silent watches sooner than in a cluster."""
    return not LONG


@pytest.fixture
async def env(
    request: pytest.FixtureRequest,
    api_server: Cluster,
    kubectl: Kubectl,
    client: KubeClient,
    tmp_path: Path,
    short_silence: bool,
) -> AsyncIterator[FaultEnv]:
    """The real operator behind the proxy, in the test's own namespace."""
    async with playing(api_server, kubectl, client, tmp_path, short_silence=short_silence) as running:
        yield running
        if request.node.stash.get(FAILED, True):
            running.proxy.save(REPORTS / "histories" / f"{request.node.name}.jsonl")
