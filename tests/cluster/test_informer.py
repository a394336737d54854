"""The informer keeps a true copy, whatever the API server and the network do to it."""

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


async def test_everything_that_is_listed_is_in_the_copy_when_it_is_synced(server: FakeApi) -> None:
    async with informed(server) as informer:
        await informer.synced.wait()
        assert names(informer) == "ab"


async def test_events_change_the_copy_and_are_told_with_the_old_and_the_new_object(server: FakeApi) -> None:
    told: list[tuple[Any, Any]] = []
    server.scripts.append(
        [event("ADDED", model("c", 3)), event("MODIFIED", model("a", 4)), event("DELETED", model("b", 5))]
    )
    async with informed(server, on_change=lambda old, new: told.append((old, new))) as informer:
        await eventually(lambda: names(informer) == "ac")
    before = [
        (old and old["metadata"]["resourceVersion"], new and new["metadata"]["resourceVersion"]) for old, new in told
    ]
    assert before == [(None, "1"), (None, "2"), (None, "3"), ("1", "4"), ("2", None)]


async def test_a_stream_that_ends_is_taken_up_where_it_ended_without_a_new_list(server: FakeApi) -> None:
    server.scripts.append([event("ADDED", model("c", 3)), bookmark(9)])
    async with informed(server):
        await eventually(lambda: server.watched() == ["2", "9"])
    assert server.lists == 1


async def test_a_delete_in_the_gap_before_a_410_is_noticed(server: FakeApi) -> None:
    gone: list[str] = []
    server.scripts.append([expired()])
    async with informed(
        server, on_change=lambda old, new: gone.append(old["metadata"]["name"]) if old and not new else None
    ) as informer:
        await informer.synced.wait()
        server.items, server.version = [model("a", 1), model("c", 8)], 8
        await eventually(lambda: names(informer) == "ac")
    assert gone == ["b"]


async def test_a_410_as_the_answer_to_the_watch_lists_again(server: FakeApi) -> None:
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
async def test_a_bad_event_costs_a_new_list_and_nothing_else(server: FakeApi, line: bytes) -> None:
    server.scripts.extend([[line], [event("ADDED", model("d", 9)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abd")
    assert server.lists == 2


async def test_a_line_that_is_cut_is_read_whole_from_the_next_stream(server: FakeApi) -> None:
    server.scripts.extend([[event("ADDED", model("c", 3))[:40]], [event("ADDED", model("c", 3)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert server.watched() == ["2", "2"]


async def test_a_silent_stream_is_given_up_and_the_next_one_brings_the_news(server: FakeApi) -> None:
    server.scripts.extend([[SILENT], [event("ADDED", model("c", 3)), SILENT]])
    async with informed(server) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert server.lists == 1


async def test_a_list_that_is_unavailable_is_tried_until_it_answers(server: FakeApi) -> None:
    server.answers.extend([(503, {}, {"message": "not yet"})] * 4)
    async with informed(server) as informer:
        await eventually(informer.synced.is_set)
        assert names(informer) == "ab"


async def test_a_list_whose_page_token_expires_begins_again_and_loses_nothing(server: FakeApi) -> None:
    gone: list[Any] = []
    page = {"metadata": {"continue": "more", "resourceVersion": "2"}, "items": [model("a", 1), model("old", 1)]}
    server.answers.extend([(200, {}, page), (410, {}, {"code": 410, "message": "expired"})])
    async with informed(server, on_change=lambda old, new: gone.append(old) if new is None else None) as informer:
        await eventually(informer.synced.is_set)
        assert names(informer) == "ab"
    assert [old["metadata"]["name"] for old in gone] == ["old"]


async def test_not_synced_before_the_first_list_has_answered(server: FakeApi) -> None:
    server.answers.extend([(503, {}, {})] * 1000)
    async with informed(server) as informer:
        await eventually(lambda: len(server.requests) > 3)
        assert not informer.synced.is_set()


async def test_streams_that_fail_again_and_again_end_in_a_new_list(server: FakeApi) -> None:
    server.scripts.extend([[b"{"]] * 3)
    async with informed(server):
        await eventually(lambda: server.lists == 2)


async def test_a_server_that_ends_every_stream_at_once_is_not_asked_without_a_pause(server: FakeApi) -> None:
    server.scripts.extend([[]] * 1000)
    async with informed(server, timeouts=WatchTimeouts(silence=1)):
        await eventually(lambda: len(server.watched()) >= 2)
        await asyncio.sleep(0.1)
        assert len(server.watched()) < 5


async def test_a_line_of_two_mebibytes_is_read(server: FakeApi) -> None:
    big = model("c", 3, text="x" * 2**21)
    server.scripts.append([event("ADDED", big), SILENT])
    async with informed(server, timeouts=WatchTimeouts(silence=5)) as informer:
        await eventually(lambda: names(informer) == "abc")
    assert len(server.watched()) == 1


async def test_others_have_their_turns_of_the_loop_while_a_chunk_of_many_events_is_read(server: FakeApi) -> None:
    turns, told = itertools.count(), list[int]()
    server.scripts.append([b"".join(event("MODIFIED", model("a", version)) for version in range(3, 53)), SILENT])

    async def others() -> None:
        while True:
            next(turns)
            await asyncio.sleep(0)

    async with informed(server, on_change=lambda _old, _new: told.append(next(turns))):
        task = asyncio.create_task(others())
        await eventually(lambda: len(told) == 52)
        task.cancel()
    between = [later - earlier for earlier, later in itertools.pairwise(told[2:])]
    assert len(between) == 49
    assert all(each > 1 for each in between)


async def test_a_defect_in_what_is_told_does_not_end_the_informer(server: FakeApi) -> None:
    def stumble(_old: Any, new: Any) -> None:
        if new["metadata"]["name"] == "c":
            raise RuntimeError("a defect")

    server.scripts.extend([[event("ADDED", model("c", 3))], [event("ADDED", model("d", 4)), SILENT]])
    async with informed(server, on_change=stumble) as informer:
        await eventually(lambda: "d" in names(informer))


async def test_a_watch_that_is_told_when_to_come_again_does_not_come_before(server: FakeApi) -> None:
    server.scripts.append([event("ADDED", model("c", 3))])
    throttled = (429, {"Retry-After": "1"}, {"message": "too many requests"})

    def told(_old: Any, new: Any) -> None:
        if new["metadata"]["name"] == "c":
            server.answers.append(throttled)

    async with informed(server, on_change=told):
        await eventually(lambda: len(server.watched()) == 2)
        began = time.monotonic()
        await eventually(lambda: len(server.watched()) == 3)
    assert time.monotonic() - began > 0.9


async def test_a_kind_that_is_not_served_is_empty_and_synced_if_that_is_allowed(server: FakeApi) -> None:
    server.answers.append((404, {}, {"message": "the server could not find the requested resource"}))
    async with informed(server, kind=HTTP_ROUTE, optional=True) as informer:
        await eventually(informer.synced.is_set)


async def test_what_we_wrote_is_in_the_copy_before_the_watch_brings_it(server: FakeApi) -> None:
    told: list[Any] = []
    stored: list[Any] = []
    async with informed(
        server, on_change=lambda *change: told.append(change), on_store=lambda *change: stored.append(change)
    ) as informer:
        await informer.synced.wait()
        told.clear()
        stored.clear()
        informer.record_write(model("a", 7, memory="2Gi"))
        assert informer.objects[Key("default", "a")]["spec"] == {"memory": "2Gi"}
        assert (len(told), len(stored)) == (0, 1)


async def test_the_api_server_is_heard_even_when_it_refuses(server: FakeApi) -> None:
    async with informed(server) as informer:
        await informer.synced.wait()
        before = informer.last_response
        server.answers.extend([(403, {}, {"message": "forbidden"})] * 1000)
        await eventually(lambda: informer.last_response > before + 0.5)


async def test_the_loop_turns_although_nothing_is_heard() -> None:
    async with KubeClient(ClusterConfig("http://127.0.0.1:9")) as client:
        informer = Informer(client, TRAINED_MODEL, timeouts=QUICK)
        heard, turned = informer.last_response, informer.last_step
        task = asyncio.create_task(informer.run())
        await eventually(lambda: informer.last_step > turned)
        assert informer.last_response == heard
        task.cancel()
