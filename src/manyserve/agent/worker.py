"""Worker: run the steps of a job in order, while they are still desired.

A worker owns its model while it runs: no other task touches the model's files or calls the server for it. A failed
step ends the job and is recorded in the retry state, from which `reconcile` plans the next try.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial

from manyserve.agent import content, fetch, load, rollback
from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError
from manyserve.agent.download.base import SLOW_REASONS
from manyserve.agent.ensembles import MissingStepError
from manyserve.agent.job import IDLE, Job
from manyserve.agent.reconcile import OnDisk, Step, is_loaded
from manyserve.agent.retry import Stage, backoff
from manyserve.agent.servers import LoadRejectedError, RefusedFilesError, ServerUnavailableError
from manyserve.logs import timestamp
from manyserve.redaction import one_line

log = logging.getLogger("manyserve.agent")

_STAGES = {
    Step.FETCH: Stage.DOWNLOAD,
    Step.LOAD: Stage.LOAD,
    Step.LEAVE: Stage.REMOVE,
    Step.UNLOAD: Stage.REMOVE,
    Step.DELETE: Stage.REMOVE,
    Step.CLEAR: Stage.REMOVE,
}

_CLASSES: tuple[tuple[type[BaseException], tuple[str, bool]], ...] = (
    (RefusedFilesError, (content.REASON, True)),
    (LoadRejectedError, ("refused", True)),
    (ServerUnavailableError, ("server_gone", False)),
    (TimeoutError, ("timeout", False)),
    (OSError, ("disk", False)),
)
"""Reason for the metric, and whether it is permanent, by the type of a failure; TimeoutError is an OSError, too."""


async def work(job: Job, steps: tuple[Step, ...]) -> None:
    """Run the steps until one fails or the job is superseded."""
    job.is_noop = bool(job.entry) and is_loaded(job.name, job.digest, job.context.state.observed)
    log.log(job.log_level, "Worker is started for %s", job.name)
    for step in steps:
        if job.is_superseded:
            return
        try:
            await _run(job, step)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (also a panic in obstore's Rust; other models must go on)
            if step in rollback.STEPS:
                rollback.record_failure(job, step, error)
            else:
                _record_failure(job, _STAGES[step], error)
            return
        finally:
            job.progress, job.cancellable = IDLE, True


async def _run(job: Job, step: Step) -> None:
    if step is Step.FETCH and job.entry:
        await fetch.fetch(job, job.entry)
    elif step is Step.LOAD:
        await load.load(job)
    elif step is Step.LEAVE:
        job.enter(Step.LEAVE, cancellable=True)
        await job.context.routing.leave(job.name)
    elif step is Step.UNLOAD:
        await load.unload(job)
    elif step is Step.DELETE:
        await _delete(job)
    elif step is Step.CLEAR:
        await _clear(job)
    else:
        await rollback.STEPS[step](job)


async def _clear(job: Job) -> None:
    """Delete the files. An empty folder stays where the index would not list the model without it."""
    context, name = job.context, job.name
    job.enter(Step.CLEAR, cancellable=False)
    keeps_folder = context.server.indexes_folders
    await in_thread(partial(context.store.delete, name, keep_folder=keeps_folder))
    context.state.removals.cleared.add(name)
    context.state.set_on_disk(name, OnDisk() if keeps_folder else None)
    log.warning("The files of model %s are deleted, although the model server has not unloaded it", name)


async def _delete(job: Job) -> None:
    job.enter(Step.DELETE, cancellable=False)
    await in_thread(job.context.store.delete, job.name)
    job.context.state.set_on_disk(job.name, None)
    job.context.state.forget(job.name)
    log.info("Successfully removed model %s", job.name)


def classify(error: BaseException) -> tuple[str, bool]:
    """Return the reason of a failure for the metric, and whether it is permanent."""
    if isinstance(error, DownloadError):
        return error.reason, error.permanent
    return next((result for kind, result in _CLASSES if isinstance(error, kind)), ("bug", False))


def _record_failure(job: Job, stage: Stage, error: BaseException) -> None:
    """Count a failure and set the time of the next try."""
    context, retry = job.context, job.retry_state
    reason, permanent = classify(error)
    failures = retry.failures + 1
    delay = backoff(permanent=permanent).delay(failures, context.jitter())
    message = one_line(error) or type(error).__name__
    log.error(
        "Failed to %s model %s, try %d, next in %.1f s: %s",
        *(stage.value, job.name, failures, delay, message),
        exc_info=error if reason == "bug" else None,
    )
    context.metrics.failures.labels(stage.value, reason).inc()
    failed = replace(
        retry,
        failed=stage,
        failures=failures,
        message=message,
        permanent=permanent,
        refused=job.refused,
        previous_still_loaded=job.previous_still_loaded,
        is_slow=reason in SLOW_REASONS,
        missing_step=error.step if isinstance(error, MissingStepError) else "",
        unusable=job.unusable or retry.unusable,
    )
    next_try = timestamp(context.unix_time() + delay)
    context.state.set_retry(job.name, replace(failed, not_before=context.clock() + delay, next_try=next_try))
