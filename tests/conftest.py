"""Setup of all tests: the figures of a run are printed at its end and written to `reports/`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from tests.support.figures import Figures, receive_from_worker, reports, send_to_controller

settings.register_profile("ours", deadline=None)  # that the machine is busy makes nothing wrong
settings.load_profile("ours")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Return where figures are recorded."""
    return reports(request.config)["walkthrough"]


@pytest.fixture
def tenants(request: pytest.FixtureRequest) -> Figures:
    """Return the figures of attacks between tenants, which are in a report of their own."""
    return reports(request.config)["tenants"]


@pytest.fixture
def chart_figures(request: pytest.FixtureRequest) -> Figures:
    """Return the figures of the chart and of `helm test`, which are in a report of their own."""
    return reports(request.config)["chart-test"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    send_to_controller(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    receive_from_worker(node.config, getattr(node, "workeroutput", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if hasattr(config, "workeroutput"):
        return
    for name, figures in reports(config).items():
        if lines := figures.write():
            terminalreporter.section(f"figures: {name}")
            for line in lines:
                terminalreporter.write_line(line)
