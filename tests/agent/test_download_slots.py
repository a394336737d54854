"""Download slots: slow downloads leave their places to others, and lose nothing while there are slow slots."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download import DownloadError
from manyserve.agent.download_slot import Slot, Waiting, origin_of
from manyserve.agent.download_slots import FAST_BYTES, SLOW_BYTES, DownloadSlots
from manyserve.agent.retry import RetryState
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.support import DROPPED_STREAMS, Pod, entry
from tests.support.eventually import eventually

SLICE = 1.0


@dataclass
class Slots:
    """Slots with a clock of the test. `ends` are the downloads that ended, with True for those that gave up."""

    fast: int
    slow: int
    now: float = 0.0
    held: dict[str, Slot] = field(default_factory=dict)
    ends: dict[str, bool] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    changes: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.slots = DownloadSlots(self.fast, self.slow, SLICE, clock=lambda: self.now)

    async def _hold(self, name: str, uri: str, *, is_slow: bool) -> None:
        try:
            async with self.slots.acquire(uri, is_slow=is_slow) as slot:
                self.held[name] = slot
                await asyncio.Event().wait()
        except DownloadError as error:
            self.ends[name] = error.reason == "slow"
        finally:
            self.ends.setdefault(name, False)
            self.held.pop(name, None)

    async def start(self, *names: str, uri: str = "https://one/x", is_slow: bool = False) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._hold(name, uri, is_slow=is_slow))
            await settle()

    async def enlarge(self, name: str) -> None:
        """Let a download find out that it is large."""
        change = asyncio.create_task(self.held[name].change(is_large=True))
        self.changes.add(change)
        await settle()

    @property
    def waiting_large(self) -> list[str]:
        return [name for name, slot in self.held.items() if not slot.is_held]

    async def end(self, name: str) -> None:
        self.tasks[name].cancel()
        with suppress(asyncio.CancelledError):
            await self.tasks[name]
        await settle()

    async def after(self, seconds: float, **rates: int) -> None:
        """Advance the clock second by second while bytes arrive, then check the slots."""
        for _ in range(round(seconds)):
            self.now += 1
            for name, rate in rates.items():
                if name in self.held:
                    self.held[name].count(rate)
        self.slots._schedule()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


def make(stack: AsyncExitStack, fast: int, slow: int) -> Slots:
    slots = Slots(fast, slow)

    async def end() -> None:
        for name in list(slots.tasks):
            await slots.end(name)

    stack.push_async_callback(end)
    return slots


async def test_download_keeps_fast_slot_while_nobody_waits(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 0)
    await slots.start("a")
    await slots.after(3600)
    assert set(slots.held) == {"a"}


async def test_download_moves_to_slow_slot_after_a_slice_and_goes_on(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    assert set(slots.held) == {"a"}
    await slots.after(1)
    assert set(slots.held) == {"a", "b"}
    assert slots.ends == {}


async def test_slow_download_gives_up_without_a_free_slow_slot(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    await slots.after(1, a=100)
    await slots.start("c")
    await slots.after(4, a=100, b=100)
    assert set(slots.held) == {"a", "b"}
    await slots.after(1, a=100, b=100)
    assert set(slots.held) == {"a", "c"}
    assert slots.ends == {"b": True}


async def test_slower_download_gives_up_for_faster_one(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    await slots.after(1, a=100)
    await slots.start("c")
    await slots.after(6, a=100, b=10 * SLOW_BYTES)
    assert set(slots.held) == {"b", "c"}
    assert slots.ends == {"a": True}


async def test_burst_at_the_start_does_not_hide_a_slow_download(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    slots.held["a"].count(10**8)
    await slots.after(300, a=100)
    await slots.start("c")
    await slots.after(6, a=100, b=10 * SLOW_BYTES)
    assert slots.ends == {"a": True}


async def test_downloads_of_medium_rate_give_up_late(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    await slots.after(1, a=2 * SLOW_BYTES)
    await slots.start("c")
    await slots.after(29, a=2 * SLOW_BYTES, b=2 * SLOW_BYTES)
    assert slots.ends == {}
    await slots.after(1, a=2 * SLOW_BYTES, b=2 * SLOW_BYTES)
    assert slots.ends == {"b": True}


async def test_known_slow_download_waits_for_slow_slot_and_nothing_gives_up_for_it(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b", is_slow=True)
    await slots.start("c")
    assert set(slots.held) == {"a", "c"}
    await slots.after(100)
    assert slots.ends == {}
    await slots.end("a")
    assert set(slots.held) == {"b", "c"}


async def test_large_download_waits_for_slow_slot_and_leaves_the_fast_one(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b")
    await slots.enlarge("a")
    assert set(slots.held) == {"a", "b"}
    await slots.enlarge("b")
    await slots.start("c")
    assert set(slots.waiting_large) == {"b"}
    assert slots.held["c"].is_held
    await slots.after(100, a=2 * SLOW_BYTES)
    assert slots.ends == {}
    await slots.end("a")
    assert slots.held["b"].is_held


async def test_slow_download_gives_up_for_large_one(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 2)
    await slots.start("a", "b", is_slow=True)
    await slots.start("c")
    await slots.enlarge("c")
    await slots.after(4, a=100, b=2 * SLOW_BYTES)
    assert slots.ends == {}
    await slots.after(1, a=100, b=2 * SLOW_BYTES)
    assert slots.ends == {"a": True}
    assert slots.held["c"].is_held


async def test_large_download_waits_no_longer_than_its_origins_fair_share(stack: AsyncExitStack) -> None:
    rates = {"a": 2 * SLOW_BYTES, "b": 3 * SLOW_BYTES}
    slots = make(stack, 1, 2)
    await slots.start(*rates, is_slow=True)
    await slots.start("c", uri="https://two/x")
    await slots.enlarge("c")
    await slots.after(29, **rates)
    assert slots.waiting_large == ["c"]
    await slots.after(1, **rates)
    assert slots.ends == {"a": True}, "the slowest of an origin with more slots"
    assert slots.held["c"].is_held
    await slots.start("d", uri="https://two/x")
    await slots.enlarge("d")
    await slots.after(100, **rates, c=2 * SLOW_BYTES)
    assert slots.waiting_large == ["d"], "both origins have their share"


@pytest.mark.parametrize(("times", "waits", "ends"), [(1.5, 5, 10), (20, 90, 110), (60, 270, 330)])
async def test_downloads_of_many_origins_keep_their_slots_from_a_large_one_as_long_as_they_are_fast(
    stack: AsyncExitStack, times: float, waits: int, ends: int
) -> None:
    """Each origin has one slot of the default number, and so many times the least rate."""
    count, rate = AgentSettings().slow_downloads, int(times * SLOW_BYTES)
    slots, rates = make(stack, 1, count), {f"a{number}": rate + number for number in range(count)}
    for name in rates:
        await slots.start(name, uri=f"https://{name}/x", is_slow=True)
    await slots.after(60, **rates)
    await slots.start("large", uri="https://two/x")
    await slots.enlarge("large")
    await slots.after(waits, **rates)
    assert slots.waiting_large == ["large"]
    await slots.after(ends - waits, **rates)
    assert slots.ends == {"a0": True}, "the slowest one"
    assert slots.held["large"].is_held


async def test_downloads_above_the_highest_least_rate_go_on_while_large_ones_of_other_origins_wait(
    stack: AsyncExitStack,
) -> None:
    slots, rates = make(stack, 1, 2), {"a": FAST_BYTES + 1, "b": FAST_BYTES + 1}
    for name in rates:
        await slots.start(name, uri=f"https://{name}/x", is_slow=True)
    await slots.start("large", uri="https://two/x")
    await slots.enlarge("large")
    await slots.after(3600, **rates)
    assert slots.ends == {}


async def test_large_download_of_an_origin_with_a_slot_takes_none_of_a_fast_one(stack: AsyncExitStack) -> None:
    slots, rates = make(stack, 1, 2), {"a": 2 * SLOW_BYTES, "b": 3 * SLOW_BYTES}
    await slots.start("a", is_slow=True)
    await slots.start("b", uri="https://two/x", is_slow=True)
    await slots.start("c", uri="https://two/x")
    await slots.enlarge("c")
    await slots.after(3600, **rates)
    assert slots.waiting_large == ["c"]


async def test_origin_with_fewest_slots_is_next(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 1)
    await slots.start("a", "b", "c", uri="https://one/x")
    await slots.start("z", uri="https://two/x")
    await slots.after(1)
    assert set(slots.held) == {"a", "z"}


def test_origins_of_waiting_downloads_take_turns() -> None:
    slots, waiting = DownloadSlots(1, 1, SLICE), Waiting()
    for origin, count in (("one", 3), ("two", 2), ("three", 1)):
        for _ in range(count):
            waiting.add(Slot(slots, origin))
    gone = Slot(slots, "four")
    waiting.add(gone)
    waiting.discard(gone)
    order = []
    while waiting:
        order.append(waiting.pop(Counter()).origin)
    assert order == ["one", "two", "three", "one", "two", "one"]


def test_origin_with_fewest_slots_is_first_among_waiting_downloads() -> None:
    slots, waiting = DownloadSlots(1, 1, SLICE), Waiting()
    for origin in ("one", "two", "three"):
        waiting.add(Slot(slots, origin))
    assert waiting.pop(Counter({"one": 2, "two": 1, "three": 3})).origin == "two"


async def test_all_downloads_together_are_bounded(stack: AsyncExitStack) -> None:
    slots = make(stack, 2, 3)
    await slots.start(*map(str, range(20)))
    for _ in range(50):
        await slots.after(1)
        assert len(slots.held) <= 5


async def test_cancelled_wait_leaves_no_trace(stack: AsyncExitStack) -> None:
    slots = make(stack, 1, 0)
    await slots.start("a", "b", "c")
    await slots.end("b")
    await slots.end("a")
    assert set(slots.held) == {"c"}


async def test_slot_is_given_back_and_acquired_again() -> None:
    slots = DownloadSlots(1, 0, SLICE)
    async with slots.acquire("https://one/x") as first:
        first.release()
        assert not first.is_held
        async with slots.acquire("https://one/x") as second:
            again = asyncio.create_task(first.change(is_large=False))
            await settle()
            assert not again.done()
            second.release()
            await again
            assert first.is_held


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://host:8443/a/b", "https://host:8443"),
        ("gs://bucket/models/a", "gs://bucket"),
        ("pvc://claim", "pvc://claim"),
        ("hf://org/model:rev", "hf://org"),
    ],
)
def test_origin_is_scheme_and_host(uri: str, origin: str) -> None:
    assert origin_of(uri) == origin


@pytest.mark.parametrize(("reason", "is_slow"), [("stalled", True), ("timeout", True), ("not_found", False)])
@DROPPED_STREAMS
async def test_agent_remembers_slow_download(pod: Pod, reason: str, *, is_slow: bool) -> None:
    class Failing:
        async def find(self, uri: str) -> None:
            raise DownloadError(f"{uri} failed", reason=reason)

    pod.config.write(entry("a", "fail://x"))
    await pod.start()
    pod.context.downloaders = {**pod.context.downloaders, "fail": Failing()}
    await eventually(lambda: pod.context.state.retries.get("a", RetryState("")).message == "fail://x failed")
    assert pod.context.state.retries["a"].is_slow is is_slow
    assert not pod.context.state.retries["a"].cleared().is_slow


@DROPPED_STREAMS
@pytest.mark.parametrize(
    ("count", "size", "seconds", "slow_downloads"), [(8, 13 * 1024, 1, 16), (8, 13 * 1024, 1, 2), (4, 1, 60, 16)]
)
async def test_small_model_is_loaded_beside_slow_ones(
    pod: Pod, count: int, size: int, seconds: float, slow_downloads: int
) -> None:
    """The slow ones come from the bucket of the small one, `size` bytes in so many seconds."""
    pod.settings = pod.settings.model_copy(update={"slow_downloads": slow_downloads})
    names = [f"slow{number}" for number in range(count)]
    release = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        if not key.startswith("models/slow"):
            return await pod.bucket.get(request)
        data = pod.bucket.objects[key]
        response = web.StreamResponse(headers={"Content-Length": str(len(data)), "ETag": f'"{hash(data)}"'})
        await response.prepare(request)
        while not release.is_set():
            await response.write(bytes(size))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await release.wait()
        return response

    app = web.Application()
    app.router.add_get("/bucket", pod.bucket.list)
    app.router.add_get("/bucket/{key:.*}", drip)
    server = TestServer(app)
    await server.start_server()
    pod.servers.append(server)
    sources = SourceSettings(gcs_endpoint=str(server.make_url("")).rstrip("/"))
    pod.settings = pod.settings.model_copy(update={"sources": sources})
    pod.bucket.objects = {f"models/{name}/content": bytes(10**6) for name in names}
    pod.bucket.objects["models/small/content"] = b"tiny"
    pod.config.write(*map(entry, names))
    await pod.start()
    await eventually(lambda: list(pod.states().values()).count("Downloading") >= 4)
    pod.config.write(*map(entry, names), entry("small"))
    await eventually(lambda: pod.states().get("small") == "Loaded", "the small model is loaded", 30)
    release.set()
