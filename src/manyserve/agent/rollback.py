"""Steps after a failed or abandoned update: roll back, reload the previous version, clean up.

A failure of these steps is retried later. It does not change the reported state of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from manyserve.agent import load
from manyserve.agent.concurrency import in_thread
from manyserve.agent.job import Job
from manyserve.agent.reconcile import NOTHING, Step, is_ready
from manyserve.agent.retry import backoff
from manyserve.redaction import one_line

log = logging.getLogger("manyserve.agent")
_BACKOFF_FAILURES = 10  # the backoff is that of so many failures


async def roll_back(job: Job) -> None:
    """Restore the files of the previous version. Raises `OSError`, and as `load` does.

    If the server may have loaded the new files without an answer, it loads the previous ones again. The answers of
    the model then come from the files on disk.
    """
    store, state, name = job.context.store, job.context.state, job.name
    job.enter(Step.ROLLBACK, cancellable=False)
    ready = is_ready(name, state.observed)
    is_loaded = job.retry_state.previous_still_loaded or await in_thread(store.is_previous_loaded, name)
    try:
        staged = await in_thread(partial(store.restore_kept, name, touch=not (is_loaded and ready)))
        state.set_retry(name, replace(job.retry_state, staged=staged))
        if ready and not is_loaded:
            await load.load_files(job, of_previous=True)
        await in_thread(store.confirm_restored, name)
    finally:
        state.rescan()
    log.info("The previous version of model %s is restored", name)


async def clean_up(job: Job) -> None:
    """Remove the leftovers of an update. Raises `OSError`."""
    store, state, name = job.context.store, job.context.state, job.name
    job.enter(Step.CLEANUP, cancellable=False)
    await in_thread(store.drop_kept, name)
    await in_thread(store.discard, name)
    state.set_on_disk(name, replace(state.disk.get(name, NOTHING), kept=""))
    state.set_retry(name, replace(job.retry_state.cleared(), staged=""))


STEPS: Mapping[Step, Callable[[Job], Awaitable[None]]] = {
    Step.ROLLBACK: roll_back,
    Step.RELOAD_PREVIOUS: load.reload_previous,
    Step.CLEANUP: clean_up,
}


def record_failure(job: Job, step: Step, error: BaseException) -> None:
    """Count a failed step and set the time of its next try."""
    context = job.context
    delay = backoff(permanent=False).delay(_BACKOFF_FAILURES, context.jitter())
    log.error("Failed to %s model %s, next try in %.1f s: %s", step.value, job.name, delay, one_line(error))
    context.metrics.failures.labels("rollback", type(error).__name__).inc()
    context.state.set_retry(job.name, replace(job.retry_state, rollback_not_before=context.clock() + delay))
