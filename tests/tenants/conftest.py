"""Fixtures of attacks of one tenant on another. Tests with an API server are contract tests.

Figures go to `reports/tenants.json`. `TENANTS=long` repeats each measurement more often.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.control_plane import api_server, client, kubectl, mark

__all__ = ["api_server", "client", "kubectl"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(
        [each for each in items if "api_server" in getattr(each, "fixturenames", ())], Path(__file__).parent, "contract"
    )
