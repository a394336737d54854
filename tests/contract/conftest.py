"""A real API server for this folder's tests, and a stage with an operator. Figures go to `reports/contract.json`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from manyserve.cluster.client import KubeHttp
from tests.contract.stage import Stage, staged
from tests.support.control_plane import api_server, client, kubectl, mark
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl

__all__ = ["api_server", "client", "kubectl"]

FIGURES = Figures("contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent, "contract")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = FIGURES.write()
    if lines:
        terminalreporter.section("contract")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def figures() -> Figures:
    """Where the figures of these tests are recorded."""
    return FIGURES


@pytest.fixture
async def stage(kubectl: Kubectl, client: KubeHttp) -> AsyncIterator[Stage]:
    """An operator and a kubelet in the test's own namespace."""
    async with staged(kubectl, client) as found:
        yield found
