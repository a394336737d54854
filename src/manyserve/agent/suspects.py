"""Suspects: models that the server was loading when it ended. One of them must not keep the others from answering.

Every load has a record until the server has answered it. A record that stays is judged by the server's next index.
A restarted server knows nothing of the load, and the model becomes a suspect. Of several loads under way, each is one.
A suspect is loaded last and alone, so a second end has one cause only. From then on the model is in quarantine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from manyserve.agent.concurrency import in_thread
from manyserve.agent.job import AgentContext, Job
from manyserve.agent.reconcile import ABSENT, NOTHING, Observed, ServerModel, ServerState, is_loaded
from manyserve.agent.retry import RetryState, Stage, quarantine_seconds
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError
from manyserve.agent.state import AgentState
from manyserve.agent.volume.load_records import LoadRecord
from manyserve.api.modelconfig import Entry
from manyserve.logs import timestamp

log = logging.getLogger("manyserve.agent")
_POLL_SECONDS = 0.1
_IN_TRANSIT = {ServerState.LOADING, ServerState.UNLOADING}
_ENDED = "the server ended while it was loaded"
_WAITS = "it is loaded after all other models and alone, since the server ended while it was loaded"


@asynccontextmanager
async def recorded(job: Job, *, of_previous: bool) -> AsyncIterator[Callable[[], None]]:
    """Keep a record during a load, and after it while the server's answer is unknown.

    The yielded function is called when the server has answered the load. A server that ends later is no fault of it.
    """
    records = job.context.store.load_records
    record = LoadRecord(job.digest, job.retry_state.ends, of_previous=of_previous)
    job.context.state.unjudged.pop(job.name, None)
    await _write(records.begin, job.name, record)
    answered = asyncio.Event()
    try:
        yield answered.set
    except LoadRejectedError:
        await _write(records.finish, job.name)
        raise
    except BaseException as error:
        if answered.is_set() and isinstance(error, ServerUnavailableError):
            await _write(records.finish, job.name)
            raise
        outages = job.context.state.outages if isinstance(error, TimeoutError) else None
        job.context.state.unjudged[job.name] = replace(record, outages=outages)
        raise
    if not of_previous:
        await _write(records.remove, job.name)
        job.context.state.set_retry(job.name, replace(job.retry_state, ends=0))


async def _write(change: Callable[..., None], *args: object) -> None:
    """Write to the records. A volume that cannot be written must not keep a model from its load."""
    try:
        await in_thread(change, *args)
    except OSError as error:
        log.warning("the load of model %s has no record on the volume: %s", args[0], error)


@asynccontextmanager
async def alone(job: Job) -> AsyncIterator[Callable[[], None]]:
    """Wait until a suspect is the last model, then keep other loads away; yield the early release of that.

    Other loads wait no longer than `load_slot_seconds`.
    """
    state = job.context.state
    while not (is_turn := _is_last(job.name, state)) and not job.is_superseded:
        job.set_note(_WAITS)
        await asyncio.sleep(_POLL_SECONDS)
    if is_turn:
        state.alone = job.name

    def release() -> None:
        if state.alone == job.name:
            state.alone = ""

    timer = asyncio.get_running_loop().call_later(job.context.settings.load_slot_seconds, release)
    try:
        yield release
    finally:
        timer.cancel()
        release()


def _is_last(name: str, state: AgentState) -> bool:
    """Return whether no load is under way, and every other model with its files on disk is loaded or has failed."""
    if state.alone or state.loading:
        return False
    observed = state.observed
    return not any(_is_pending(each, entry, observed) for each, entry in observed.desired.items() if each != name)


def _is_pending(name: str, entry: Entry, observed: Observed) -> bool:
    if observed.disk.get(name, NOTHING).digest != entry.digest or is_loaded(name, entry.digest, observed):
        return False
    retry = observed.retries.get(name)
    return retry is None or retry.for_digest(entry.digest).failed is None


def judge(context: AgentContext) -> None:
    """Count the ends of the server during loads without a result, once the server answers again."""
    state = context.state
    if state.index is None:
        return
    for name, load in tuple(state.unjudged.items()):
        entry, server = state.desired.get(name), state.index.get(name, ABSENT)
        if entry is None or server.state in _IN_TRANSIT or _is_still_up(load, server, state):
            continue
        del state.unjudged[name]
        has_loaded = load.under_way and server.state is ServerState.READY
        if entry.digest != load.digest or has_loaded:
            continue
        has_ended = load.under_way and not server.reason  # the server knows nothing of the load
        if has_ended:
            context.metrics.failures.labels(Stage.LOAD.value, "server_ended").inc()
        if ends := load.ends + has_ended:
            _suspect(context, name, replace(load, ends=ends))


def _is_still_up(load: LoadRecord, server: ServerModel, state: AgentState) -> bool:
    """Return whether the server has answered ever since the load took too long. MLServer lists no loads under way."""
    is_open = load.under_way and not server.reason and server.state is not ServerState.READY
    return is_open and load.outages == state.outages


def _suspect(context: AgentContext, name: str, record: LoadRecord) -> None:
    """Store the number of ends in the retry state, and the time of the next load."""
    retry = context.state.retries.get(name, RetryState(record.digest)).for_digest(record.digest)
    delay = quarantine_seconds(record.ends, context.jitter())
    not_before = context.clock() + delay
    message = _ENDED if record.ends == 1 else f"{_ENDED}, {record.ends} times"
    log.error("Failed to load model %s, next in %.1f s: %s", name, delay, message)
    if record.of_previous:
        later = max(retry.rollback_not_before, not_before)
        context.state.set_retry(name, replace(retry, ends=record.ends, rollback_not_before=later))
        return
    context.state.set_retry(
        name,
        replace(
            retry,
            failed=Stage.LOAD,
            failures=max(retry.failures, record.ends),
            message=message,
            ends=record.ends,
            not_before=not_before,
            next_try=timestamp(context.unix_time() + delay),
        ),
    )
