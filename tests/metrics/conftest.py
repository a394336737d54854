"""Fixtures: a webhook, and a real API server. Tests with an API server are contract tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.control_plane import api_server, client, kubectl, mark
from tests.support.figures import Figures, reports
from tests.webhook.conftest import running

__all__ = ["api_server", "client", "kubectl", "running"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(
        [each for each in items if "api_server" in getattr(each, "fixturenames", ())], Path(__file__).parent, "contract"
    )


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of these tests, for the report."""
    return reports(request.config)["metrics-test"]
