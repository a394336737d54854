"""The load and unload steps. Both end when the server's index shows their result."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from manyserve.agent import ensembles, suspects
from manyserve.agent.concurrency import in_thread
from manyserve.agent.job import Job
from manyserve.agent.reconcile import ABSENT, NOTHING, OnDisk, ServerModel, ServerState, Step, is_ready
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError
from manyserve.agent.state import AgentState
from manyserve.agent.volume.markers import LOADED
from manyserve.api.agentreport import MOST_STUCK

log = logging.getLogger("manyserve.agent")
_POLL_SECONDS = 0.1

Release = Callable[[], None]


async def load(job: Job) -> None:
    """Load the model. Raises `LoadRejectedError`, `ServerUnavailableError`, `TimeoutError`."""
    context, name, kept = job.context, job.name, job.context.state.disk.get(job.name, NOTHING).kept
    is_current = context.state.disk.get(name) == OnDisk(job.digest, loaded=True, kept=kept)
    if is_current and is_ready(name, context.state.observed):
        context.state.set_retry(name, job.retry_state.cleared())
        return
    async with _permit(job) as release:
        if not release:
            return
        job.enter(Step.LOAD, cancellable=False)
        started = context.clock()
        await _load_over_kept(job, release) if kept else await load_files(job, release)
        seconds = round(context.clock() - started, 3)
    await in_thread(context.store.mark, name, LOADED, job.digest)
    context.state.set_on_disk(name, OnDisk(job.digest, loaded=True, kept=kept))
    context.metrics.load_seconds.observe(seconds)
    context.state.set_retry(name, replace(job.retry_state.cleared(), load_seconds=seconds))
    log.info("Successfully loaded model %s", name)


async def reload_previous(job: Job) -> None:
    """Load the previous version again after the server lost it. Raises as `load` does."""
    async with _permit(job) as release:
        if release:
            job.enter(Step.RELOAD_PREVIOUS, cancellable=False)
            await load_files(job, release, of_previous=True)
            log.info("Successfully loaded the previous version of model %s", job.name)


@asynccontextmanager
async def _permit(job: Job) -> AsyncIterator[Release | None]:
    """Hold a permit among the loads; yield its early release, or None if the load is superseded or impossible."""
    await ensembles.wait_for_steps(job)
    suspects.judge(job.context)
    permit = suspects.alone(job) if job.retry_state.ends else job.context.loads.acquire()
    async with permit as release:
        await _wait_for_unfinished_loads(job)
        yield None if job.is_superseded or job.context.state.index is None else release


async def _load_over_kept(job: Job, release: Release) -> None:
    """Load a new version, after recording that the server may have it from now on."""
    store = job.context.store
    job.previous_still_loaded = await in_thread(store.is_previous_loaded, job.name)
    await in_thread(store.record_load_attempt, job.name)
    try:
        await load_files(job, release)
    except LoadRejectedError:
        job.refused = True
        raise


async def _wait_for_unfinished_loads(job: Job) -> None:
    """Wait while a suspect loads, or too many loads are unfinished in the server, for at most `load_seconds`."""
    state, settings = job.context.state, job.context.settings
    deadline = job.context.clock() + settings.load_seconds
    while reason := _reason_to_wait(job):
        job.set_note(reason)
        if job.context.clock() > deadline:
            raise TimeoutError(_describe(state, settings.unfinished_loads))
        await asyncio.sleep(_POLL_SECONDS)


def _reason_to_wait(job: Job) -> str:
    """Return the reason why a load may not begin yet; empty if it may."""
    state = job.context.state
    if job.is_superseded:
        return ""
    if state.alone not in ("", job.name):
        return f"waits for the load of {state.alone}, beside which no other model is loaded"
    limit = job.context.settings.unfinished_loads
    return f"waits, since {_describe(state, limit)}" if len(state.unfinished_loads) >= limit else ""


def _describe(state: AgentState, limit: int) -> str:
    """Return the sentence about the loads that keep all others away."""
    names = state.unfinished_loads
    shown = f"{', '.join(names[:MOST_STUCK])}{' and others' if len(names) > MOST_STUCK else ''}"
    end = "; only a restart of the model server ends them" if state.stuck_loads(limit) else ""
    return f"the model server has not finished {len(names)} loads: {shown}{end}"


async def load_files(job: Job, release: Release = lambda: None, *, of_previous: bool = False) -> None:
    """Load the files on disk, counted among the loads under way. After a failure, poll the index."""
    state = job.context.state
    state.loading.add(job.name)
    timer = asyncio.get_running_loop().call_later(job.context.settings.load_slot_seconds, _note_slow_load, job)

    def on_response() -> None:
        """Let the next load begin, so that one poll of the index serves several loads."""
        answered()
        state.loading.discard(job.name)
        release()

    try:
        await ensembles.check_steps(job)
        async with suspects.recorded(job, of_previous=of_previous) as answered:
            await _load_and_poll(job, on_response)
    finally:
        timer.cancel()
        state.loading.discard(job.name)


async def _load_and_poll(job: Job, on_response: Release) -> None:
    try:
        await _load_explained(job, on_response)
    except (LoadRejectedError, ServerUnavailableError, TimeoutError):
        with suppress(ServerUnavailableError):
            await job.context.state.poll_server()
        raise


def _note_slow_load(job: Job) -> None:
    job.set_note(f"the model server has not finished the load after {job.context.settings.load_slot_seconds:g} s")


async def _load_explained(job: Job, on_response: Release) -> None:
    try:
        await _load_with_timeout(job, on_response)
    except LoadRejectedError as error:
        context = job.context
        reason = await in_thread(context.server.explain, context.store.models / job.name, str(error))
        raise LoadRejectedError(reason) from error


async def _load_with_timeout(job: Job, on_response: Release) -> None:
    limit = job.context.settings.load_seconds
    try:
        async with asyncio.timeout(limit):
            await job.context.server.load(job.name)
            on_response()
            model = await _wait_settled(job)
    except TimeoutError as error:
        raise TimeoutError(f"the model server did not finish the load within {limit:g} s") from error
    if model.state is not ServerState.READY:
        state = model.state or "nothing"
        raise LoadRejectedError(f"the load was answered with 200, but the server's index says {state}: {model.reason}")


async def unload(job: Job) -> None:
    """Unload the model and wait until the index shows it. Raises as `load` does."""
    limit = job.context.settings.unload_seconds
    job.enter(Step.UNLOAD, cancellable=False)
    try:
        async with asyncio.timeout(limit):
            await job.context.server.unload(job.name)
            model = await _wait_settled(job)
    except TimeoutError as error:
        raise TimeoutError(f"the model server did not finish the unload within {limit:g} s") from error
    if model.state is ServerState.READY:
        raise LoadRejectedError("the unload was answered with 200, but the server's index says READY")
    log.info("Successfully unloaded model %s", job.name)


async def _wait_settled(job: Job) -> ServerModel:
    """Return the model in the server's index, once it is neither LOADING nor UNLOADING."""
    while True:
        model = (await job.context.state.poll_server()).get(job.name, ABSENT)
        if model.state not in {ServerState.LOADING, ServerState.UNLOADING}:
            return model
        await asyncio.sleep(_POLL_SECONDS)
