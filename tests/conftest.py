"""What all tests share: the figures that a run takes are printed at its end and written to `reports/`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from tests.support.figures import Figures

_FIGURES = pytest.StashKey[Figures]()

settings.register_profile("ours", deadline=None)  # that the machine is busy makes nothing wrong
settings.load_profile("ours")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures("walkthrough")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Return where figures are recorded."""
    return request.config.stash[_FIGURES]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    lines = config.stash[_FIGURES].write()
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
