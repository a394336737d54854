from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from manyserve.agent import retry
from manyserve.backoff import Backoff
from tests.agent.support import Pod, fake_pod


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "BACKOFF", Backoff(base=0.05, cap=0.2))
    monkeypatch.setattr(retry, "BACKOFF_PERMANENT", Backoff(base=0.05, cap=0.2))


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with fake_pod(tmp_path) as pod:
        yield pod
