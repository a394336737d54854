"""The steps that the model server takes: load, unload. Its index has the last word on both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from manyserve.agent.job import Job
from manyserve.agent.reconcile import ABSENT, NOTHING, OnDisk, ServerModel, ServerState, Step, is_ready
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError
from manyserve.agent.threads import in_thread
from manyserve.agent.volume.markers import LOADED

log = logging.getLogger("manyserve.agent")
_LOOK_SECONDS = 0.1

Leave = Callable[[], None]


async def load(job: Job) -> None:
    """Load the model. Raises `LoadRejectedError`, `ServerUnavailableError`, `TimeoutError`."""
    shop, name, kept = job.context, job.name, job.context.world.disk.get(job.name, NOTHING).kept
    if shop.world.disk.get(name) == OnDisk(job.digest, loaded=True, kept=kept) and is_ready(name, shop.world.seen):
        shop.world.remember(name, job.retry_state.cleared())
        return
    async with _place(job) as leave:
        if not leave:
            return
        job.enter(Step.LOAD, may_stop=False)
        started = shop.clock()
        await _load_over_kept(job, leave) if kept else await load_alone(job, leave)
        seconds = round(shop.clock() - started, 3)
    await in_thread(shop.store.mark, name, LOADED, job.digest)
    shop.world.on_disk(name, OnDisk(job.digest, loaded=True, kept=kept))
    shop.metrics.load_seconds.observe(seconds)
    shop.world.remember(name, replace(job.retry_state.cleared(), load_seconds=seconds))
    log.info("Successfully loaded model %s", name)


async def revive(job: Job) -> None:
    """Load the version before again, which the server lost. Raises as `load` does."""
    async with _place(job) as leave:
        if leave:
            job.enter(Step.RELOAD_PREVIOUS, may_stop=False)
            await load_alone(job, leave)
            log.info("Successfully loaded model %s as it was before", job.name)


@asynccontextmanager
async def _place(job: Job) -> AsyncIterator[Leave | None]:
    """Hold a place among the loads; yields how to leave it early, or None when the load is not to be done any more."""
    async with job.context.loads.acquire() as leave:
        await _room(job)
        yield None if job.superseded or job.context.world.index is None else leave


async def _load_over_kept(job: Job, leave: Leave) -> None:
    """Load a new version; it is written down before that the server may have it from now on."""
    store = job.context.store
    job.previous_still_loaded = await in_thread(store.is_sure, job.name)
    await in_thread(store.doubt, job.name)
    try:
        await load_alone(job, leave)
    except LoadRejectedError:
        job.refused = True
        raise


async def _room(job: Job) -> None:
    """Wait until not too many loads hang in the server, no longer than a load may take."""
    world, settings = job.context.world, job.context.settings
    last = job.context.clock() + settings.load_seconds
    while world.unfinished_loads >= settings.unfinished_loads and not job.superseded:
        job.wait(f"waits for one of {world.unfinished_loads} loads that the model server has not finished")
        if job.context.clock() > last:
            raise TimeoutError(f"the model server has {world.unfinished_loads} loads that it does not finish")
        await asyncio.sleep(_LOOK_SECONDS)


async def load_alone(job: Job, leave: Leave = lambda: None) -> None:
    """Load what lies there, counted among the loads under way; after a failure, see what the index makes of it."""
    world = job.context.world
    world.loading.add(job.name)
    slow = asyncio.get_running_loop().call_later(job.context.settings.load_slot_seconds, _is_slow, job)

    def answered() -> None:
        """Let the next load begin: what the index says of several is then learnt by one look."""
        world.loading.discard(job.name)
        leave()

    try:
        await _load_in_time(job, answered)
    except (LoadRejectedError, ServerUnavailableError, TimeoutError):
        with suppress(ServerUnavailableError):
            await world.poll_server()
        raise
    finally:
        slow.cancel()
        world.loading.discard(job.name)


def _is_slow(job: Job) -> None:
    """Say that a load takes long; the pod does not wait for it any more."""
    job.slow = True
    job.wait(f"the model server has not finished the load after {job.context.settings.load_slot_seconds:g} s")


async def _load_in_time(job: Job, answered: Leave) -> None:
    limit = job.context.settings.load_seconds
    try:
        async with asyncio.timeout(limit):
            await job.context.server.load(job.name)
            answered()
            found = await _settled(job)
    except TimeoutError as error:
        raise TimeoutError(f"the model server did not finish the load within {limit:g} s") from error
    if found.state is not ServerState.READY:
        state = found.state or "nothing"
        raise LoadRejectedError(f"the load was answered with 200, but the server's index says {state}: {found.reason}")


async def unload(job: Job) -> None:
    """Unload the model and wait until the server let go of it. Raises as `load` does."""
    limit = job.context.settings.unload_seconds
    job.enter(Step.UNLOAD, may_stop=False)
    try:
        async with asyncio.timeout(limit):
            await job.context.server.unload(job.name)
            found = await _settled(job)
    except TimeoutError as error:
        raise TimeoutError(f"the model server did not finish the unload within {limit:g} s") from error
    if found.state is ServerState.READY:
        raise LoadRejectedError("the unload was answered with 200, but the server's index says READY")
    log.info("Successfully unloaded model %s", job.name)


async def _settled(job: Job) -> ServerModel:
    """Return the model in the server's index, once it is neither LOADING nor UNLOADING."""
    while True:
        found = (await job.context.world.poll_server()).get(job.name, ABSENT)
        if found.state not in {ServerState.LOADING, ServerState.UNLOADING}:
            return found
        await asyncio.sleep(_LOOK_SECONDS)
