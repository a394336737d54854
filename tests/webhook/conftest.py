"""Fixtures: hosts in both forms, and a running webhook."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.plan.conftest import both_forms
from tests.support.make import host_object, model_object
from tests.webhook.reviews import cache_of
from tests.webhook.serving import RunningWebhook, serving

__all__ = ["both_forms"]


@pytest_asyncio.fixture
async def running() -> AsyncIterator[RunningWebhook]:
    """Run a webhook for a host with one model, and memory for one more."""
    async with serving(cache_of(host_object(), model_object("first"))) as webhook:
        yield webhook
