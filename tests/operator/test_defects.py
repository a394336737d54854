"""Defects: a plan that raises affects its host alone, and the status of the host has the ID of the log."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, cast

import pytest

from manyserve.api import conditions
from manyserve.api.names import Key
from manyserve.cluster.errors import Conflict, Unavailable
from manyserve.cluster.state import ClusterState
from manyserve.operator.defects import Defects, InternalError
from manyserve.operator.workqueue import Result, WorkQueue
from manyserve.plan.status.internal_error import INTERNAL_ERROR
from tests.support import make
from tests.support.eventually import eventually
from tests.support.merge_patch import merge_patch

BAD, GOOD = Key("default", "bad"), Key("default", "good")
READY = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}


class Hosts:
    """Informer of two hosts with their statuses, and a reconcile with a defect for one of them."""

    def __init__(self) -> None:
        self.state = ClusterState(lambda _key: None)
        self.stored: dict[Key, dict[str, Any]] = {}
        self.patches: list[Key] = []
        self.reconciled: list[Key] = []
        self.error: Exception | None = None
        for key in (BAD, GOOD):
            self._store(key, make.host_object(key.name) | {"status": READY})
        self.defects = Defects(self.state, lambda *_: cast("Any", self), lambda: make.NOW)

    async def merge_patch(self, key: Key, patch: dict[str, Any], subresource: str) -> bool:
        assert subresource == "status"
        self.patches.append(key)
        if self.error:
            raise self.error
        self._store(key, merge_patch(self.stored[key], patch))
        return True

    async def reconcile(self, key: Key) -> Result:
        self.reconciled.append(key)
        if key == BAD:
            raise ZeroDivisionError("a defect")
        return Result()

    def ready(self, key: Key) -> conditions.Condition:
        found = conditions.find(self.state.hosts[key].status.conditions, "Ready")
        assert found is not None
        return found

    def _store(self, key: Key, manifest: dict[str, Any]) -> None:
        self.state.update_host(self.stored.get(key), manifest)
        self.stored[key] = manifest


async def test_defect_is_in_the_status_of_its_host_with_the_id_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    hosts, queue = Hosts(), WorkQueue()
    for key in (BAD, GOOD):
        queue.add(key)
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(queue.run(hosts.defects.shown(hosts.reconcile)))
        await eventually(lambda: hosts.reconciled.count(BAD) > 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    match = re.search(r"internal error [0-9a-f]{8}", hosts.ready(BAD).message or "")
    assert match is not None
    assert match[0] in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert (hosts.ready(BAD).status, hosts.ready(BAD).reason) == ("True", INTERNAL_ERROR), "its models answer on"
    assert hosts.ready(GOOD).reason is None
    assert GOOD in hosts.reconciled
    assert hosts.patches == [BAD], "the retry has the same ID"


async def test_defect_of_a_host_without_a_status_is_unknown() -> None:
    hosts = Hosts()
    hosts._store(BAD, make.host_object(BAD.name))
    with pytest.raises(InternalError, match="internal error"):
        await hosts.defects.shown(hosts.reconcile)(BAD)
    assert hosts.ready(BAD).status == "Unknown"


@pytest.mark.parametrize("error", [Unavailable("no answer"), RuntimeError("another defect")])
async def test_defect_is_raised_although_its_status_cannot_be_written(error: Exception) -> None:
    hosts = Hosts()
    hosts.error = error
    with pytest.raises(InternalError):
        await hosts.defects.shown(hosts.reconcile)(BAD)


async def test_error_of_the_api_server_is_no_defect() -> None:
    hosts = Hosts()

    async def fails(_: Key) -> Result:
        raise Conflict("it changed")

    with pytest.raises(Conflict):
        await hosts.defects.shown(fails)(GOOD)
    assert hosts.patches == []
