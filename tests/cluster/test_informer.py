"""Informer: its store stays equal to the API server, through faults of server and network."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.backoff import Backoff
from manyserve.cluster.client import KubeClient
from manyserve.cluster.informer import Informer, WatchTimeouts
from manyserve.cluster.kinds import HTTP_ROUTE, TRAINED_MODEL
from manyserve.cluster.kubeconfig import ClusterConfig
from tests.support.eventually import eventually
from tests.support.fake_api import SILENT, FakeApi, served
from tests.support.watch_lines import bookmark, event, expired, model

QUICK = WatchTimeouts(silence=0.3, backoff=Backoff(base=0.01, cap=0.05))


@pytest.fixture
def server() -> FakeApi:
    server = FakeApi()
    server.items, server.version = [model("a", 1), model("b", 2)], 2
    return server


@asynccontextmanager
async def informed(server: FakeApi, **options: Any) -> AsyncIterator[Informer]:
    async with served(server) as client:
        informer = Informer(client, options.pop("kind", TRAINED_MODEL), **({"timeouts": QUICK} | options))
        task = asyncio.create_task(informer.run())
        yield informer
        assert not task.done(), "the informer must never end by itself"
        task.cancel()


def names(informer: Informer) -> str:
    return "".join(sorted(key.name for key in informer.objects))


async def test_informer_has_all_listed_objects_when_it_is_synced(server: FakeApi) -> None:
    async with informed(server) as informer:
        await informer.synced.wait()
        assert names(informer) == "ab"


async def test_informer_reports_events_with_old_and_new_object(server: FakeApi) -> None:
    changes: list[tuple[Any, Any]] = []
    server.scripts.append(
        [event("ADDED", model("c", 3)), event("MODIFIED", model("a", 4)), event("DELETED", model("b", 5))]
    )
    async with informed(server, on_change=lambda old, new: changes.append((old, new))) as informer:
        await eventually(lambda: names(informer) == "ac")
    before = [
        (old and old["metadata"]["resourceVersion"], new and new["metadata"]["resourceVersion"]) for old, new in changes
    ]
    assert before == [(None, "1"), (None, "2"), (None, "3"), ("1", "4"), ("2", None)]


async def test_informer_continues_an_ended_stream_without_a_new_list(server: FakeApi) -> None:
    server.scripts.append([event("ADDED", model("c", 3)), bookmark(9)])
    async with informed(server):
        await eventually(lambda: server.watched() == ["2", "9"])
    assert server.lists == 1


async def test_informer_notices_a_deletion_in_the_gap_before_a_410(server: FakeApi) -> None:
    deleted: list[str] = []
    server.scripts.append([expired()])
    async with informed(
        server, on_change=lambda old, new: deleted.append(old["metadata"]["name"]) if old and not new else None
    ) as informer:
        await informer.synced.wait()
        server.items, server.version = [model("a", 1), model("c", 8)], 8
        await eventually(lambda: names(informer) == "ac")
    assert deleted == ["b"]


async def test_informer_lists_again_after_a_410_of_the_watch(server: FakeApi) -> None:
    listing = {"metadata": {"resourceVersion": "2"}, "items": server.items}
    server.answers.extend([(200, {}, listing), (410, {}, {"code": 410, "message": "too old"})])
    server.items, server.version = [model("a", 1)], 5
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "a")
    assert server.lists == 2


@pytest.mark.parametrize(
    "line",
    [
        event("ERROR", {"kind": "Status", "code": 500, "message": "etcd is unwell"}),
        event("UNHEARD_OF", model("x", 3)),
        b'{"type": "ADDED"}\n',
        b'["not", "an", "event"]\n',
    ],
    ids=["an ERROR 500", "an unknown type", "an event without an object", "a line that is no event"],
)
async def test_informer_lists_again_after_a_bad_event(server: FakeApi, line: bytes) -> None:
    server.scripts.extend([[line], [event("ADDED", model("d", 9)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abd")
    assert server.lists == 2


async def test_informer_reads_a_cut_line_from_the_next_stream(server: FakeApi) -> None:
    server.scripts.extend([[event("ADDED", model("c", 3))[:40]], [event("ADDED", model("c", 3)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert server.watched() == ["2", "2"]


async def test_informer_drops_a_silent_stream_and_opens_another(server: FakeApi) -> None:
    server.scripts.extend([[SILENT], [event("ADDED", model("c", 3)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert server.lists == 1


async def test_informer_repeats_an_unavailable_list(server: FakeApi) -> None:
    server.answers.extend([(503, {}, {"message": "not yet"})] * 4)
    async with informed(server) as informer:
        await eventually(informer.synced.is_set)
        assert names(informer) == "ab"


async def test_informer_begins_a_list_anew_when_its_page_token_expires(server: FakeApi) -> None:
    deleted: list[Any] = []
    page = {"metadata": {"continue": "more", "resourceVersion": "2"}, "items": [model("a", 1), model("old", 1)]}
    server.answers.extend([(200, {}, page), (410, {}, {"code": 410, "message": "expired"})])
    async with informed(server, on_change=lambda old, new: deleted.append(old) if new is None else None) as informer:
        await eventually(informer.synced.is_set)
        assert names(informer) == "ab"
    assert [old["metadata"]["name"] for old in deleted] == ["old"]


async def test_informer_is_not_synced_before_the_first_list(server: FakeApi) -> None:
    server.answers.extend([(503, {}, {})] * 1000)
    async with informed(server) as informer:
        await eventually(lambda: len(server.requests) > 3)
        assert not informer.synced.is_set()


async def test_informer_lists_again_after_repeated_failures(server: FakeApi) -> None:
    server.scripts.extend([[b"{"]] * 3)
    async with informed(server):
        await eventually(lambda: server.lists == 2)


async def test_informer_backs_off_when_every_stream_ends_at_once(server: FakeApi) -> None:
    server.scripts.extend([[]] * 1000)
    async with informed(server, timeouts=WatchTimeouts(silence=1)):
        await eventually(lambda: len(server.watched()) >= 2)
        await asyncio.sleep(0.1)
        assert len(server.watched()) < 5


async def test_informer_reads_a_line_of_two_mebibytes(server: FakeApi) -> None:
    big = model("c", 3, text="x" * 2**21)
    server.scripts.append([event("ADDED", big), SILENT])
    async with informed(server, timeouts=WatchTimeouts()) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert len(server.watched()) == 1


async def test_informer_yields_to_other_tasks_within_a_chunk_of_events(server: FakeApi) -> None:
    steps, changes = itertools.count(), list[int]()
    server.scripts.append([b"".join(event("MODIFIED", model("a", version)) for version in range(3, 53)), SILENT])

    async def count_steps() -> None:
        while True:
            next(steps)
            await asyncio.sleep(0)

    async with informed(server, on_change=lambda _old, _new: changes.append(next(steps))):
        task = asyncio.create_task(count_steps())
        await eventually(lambda: len(changes) == 52)
        task.cancel()
    between = [later - earlier for earlier, later in itertools.pairwise(changes[2:])]
    assert len(between) == 49
    assert all(each > 1 for each in between)


async def test_informer_survives_an_exception_of_a_listener(server: FakeApi) -> None:
    def fail(_old: Any, new: Any) -> None:
        if new["metadata"]["name"] == "c":
            raise RuntimeError("a defect")

    server.scripts.extend([[event("ADDED", model("c", 3))], [event("ADDED", model("d", 4)), SILENT]])
    async with informed(server, on_change=fail) as informer:
        await eventually(lambda: "d" in names(informer))


async def test_informer_waits_for_retry_after(server: FakeApi) -> None:
    server.scripts.append([event("ADDED", model("c", 3))])
    throttled = (429, {"Retry-After": "1"}, {"message": "too many requests"})

    def throttle(_old: Any, new: Any) -> None:
        if new["metadata"]["name"] == "c":
            server.answers.append(throttled)

    async with informed(server, on_change=throttle):
        await eventually(lambda: len(server.watched()) == 2)
        began = time.monotonic()
        await eventually(lambda: len(server.watched()) == 3)
    assert time.monotonic() - began > 0.9


async def test_informer_of_an_optional_kind_is_synced_when_it_is_not_served(server: FakeApi) -> None:
    server.answers.append((404, {}, {"message": "the server could not find the requested resource"}))
    async with informed(server, kind=HTTP_ROUTE, optional=True) as informer:
        await eventually(informer.synced.is_set)


async def test_informer_stores_our_write_before_its_event(server: FakeApi) -> None:
    changes: list[Any] = []
    stored: list[Any] = []
    async with informed(
        server, on_change=lambda *change: changes.append(change), on_store=lambda *change: stored.append(change)
    ) as informer:
        await informer.synced.wait()
        changes.clear()
        stored.clear()
        informer.record_write(model("a", 7, memory="2Gi"))
        assert informer.objects[Key("default", "a")]["spec"] == {"memory": "2Gi"}
        assert (len(changes), len(stored)) == (0, 1)


def is_changed(informer: Informer, key: Key) -> bool:
    return bool(informer.objects[key]["metadata"]["resourceVersion"] != "1")


async def test_informer_patches_status_of_missing_object_once_until_watch_brings_change(server: FakeApi) -> None:
    path = "/apis/serving.kserve.io/v1alpha1/namespaces/default/trainedmodels/a"
    status = f"{path}/status"
    server.by_path[status] = (404, {}, {"message": "not found"})
    server.scripts.append([SILENT])
    async with informed(server, timeouts=WatchTimeouts()) as informer:
        await informer.synced.wait()
        key = Key("default", "a")
        for _ in range(3):
            assert not await informer.merge_patch(key, {"status": None}, "status")
        assert [each.path for each in server.requests].count(status) == 1
        await eventually(lambda: server.put(path, model("a", 7)) and is_changed(informer, key))
        assert not await informer.merge_patch(key, {"status": None}, "status")
    assert [each.path for each in server.requests].count(status) == 2


async def test_informer_counts_a_refusal_as_a_response(server: FakeApi) -> None:
    async with informed(server) as informer:
        await informer.synced.wait()
        before = informer.last_response
        server.answers.extend([(403, {}, {"message": "forbidden"})] * 1000)
        await eventually(lambda: informer.last_response > before + 0.5)


async def test_informer_makes_steps_without_a_response() -> None:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        informer = Informer(client, TRAINED_MODEL, timeouts=QUICK)
        response, step = informer.last_response, informer.last_step
        task = asyncio.create_task(informer.run())
        await eventually(lambda: informer.last_step > step)
        assert informer.last_response == response
        task.cancel()
