"""Fixtures: a webhook, promtool, and a real API server. Tests with one of the last two are contract tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.metrics import prometheus
from tests.metrics.prometheus import Promtool
from tests.support.control_plane import api_server, client, kubectl, mark
from tests.support.figures import Figures, reports
from tests.webhook.conftest import running

__all__ = ["api_server", "client", "kubectl", "running"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needed = {"api_server", "promtool"}
    found = [each for each in items if needed & set(getattr(each, "fixturenames", ()))]
    mark(found, Path(__file__).parent, "contract")


@pytest.fixture
def promtool() -> Promtool:
    """Return promtool, of the package `prometheus`."""
    return prometheus.promtool


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of these tests, for the report."""
    return reports(request.config)["metrics-test"]
