"""Fixture with both forms of hosts."""

from __future__ import annotations

import pytest

from tests.support import make


@pytest.fixture(params=make.FORMS)
def both_forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test twice: with hosts that name their server, and with hosts in the form of KServe 0.8."""
    monkeypatch.setattr(make, "FORM", request.param)
