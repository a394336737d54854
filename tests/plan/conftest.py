"""Hosts in both forms."""

from __future__ import annotations

import pytest

from tests.support import make


@pytest.fixture(params=make.FORMS)
def both_forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `make.host_object` make hosts that name their server, then hosts in the form of KServe 0.8."""
    monkeypatch.setattr(make, "FORM", request.param)
