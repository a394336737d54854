"""Doing a job: its steps, one after the other, each only while it is still wanted.

A worker owns its model while it runs: nobody else touches its files or calls the server for it. A step that
fails ends the work, and the failure goes into the world's memory, from which `sync` decides on the next try.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from manyserve.agent import fetch, load, rollback
from manyserve.agent.download import DownloadError
from manyserve.agent.job import IDLE, Job
from manyserve.agent.reconcile import Step, is_loaded
from manyserve.agent.redaction import one_line
from manyserve.agent.retry import Stage, backoff
from manyserve.agent.servers import LoadRejectedError, ServerUnavailableError
from manyserve.agent.threads import in_thread
from manyserve.logs import timestamp

log = logging.getLogger("manyserve.agent")

_STAGES = {Step.FETCH: Stage.DOWNLOAD, Step.LOAD: Stage.LOAD, Step.UNLOAD: Stage.REMOVE, Step.DELETE: Stage.REMOVE}


async def work(job: Job, steps: tuple[Step, ...]) -> None:
    """Take the steps, as far as they succeed and are wanted."""
    job.is_noop = bool(job.entry) and is_loaded(job.name, job.digest, job.context.world.seen)
    log.log(job.level, "Worker is started for %s", job.name)
    for step in steps:
        if job.superseded:
            return
        try:
            await _take(job, step)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 (also a panic in obstore's Rust; the others must go on)
            if step in rollback.STEPS:
                rollback.failed(job, step, error)
            else:
                _failed(job, _STAGES[step], error)
            return
        finally:
            job.progress, job.cancellable, job.slow = IDLE, True, False


async def _take(job: Job, step: Step) -> None:
    if step is Step.FETCH and job.entry:
        await fetch.fetch(job, job.entry)
    elif step is Step.LOAD:
        await load.load(job)
    elif step is Step.UNLOAD:
        await load.unload(job)
    elif step is Step.DELETE:
        await _delete(job)
    else:
        await rollback.STEPS[step](job)


async def _delete(job: Job) -> None:
    job.enter(Step.DELETE, may_stop=False)
    await in_thread(job.context.store.delete, job.name)
    job.context.world.on_disk(job.name, None)
    job.context.world.forget(job.name)
    log.info("Successfully removed model %s", job.name)


def judge(error: BaseException) -> tuple[str, bool]:
    """Return the reason of a failure for the metric, and whether a retry alone is not expected to help."""
    match error:
        case DownloadError():
            return error.reason, error.permanent
        case LoadRejectedError():
            return "refused", True
        case ServerUnavailableError():
            return "server_gone", False
        case TimeoutError():
            return "timeout", False
        case OSError():
            return "disk", False
    return "bug", False


def _failed(job: Job, stage: Stage, error: BaseException) -> None:
    """Remember a failure and when to try again."""
    shop, memory = job.context, job.retry_state
    reason, permanent = judge(error)
    failures = memory.failures + 1
    wait = backoff(permanent=permanent).delay(failures, shop.jitter())
    message = one_line(error) or type(error).__name__
    log.error(
        "Failed to %s model %s, try %d, next in %.1f s: %s",
        *(stage.value, job.name, failures, wait, message),
        exc_info=error if reason == "bug" else None,
    )
    shop.metrics.failures.labels(stage.value, reason).inc()
    failed = replace(
        memory,
        failed=stage,
        failures=failures,
        message=message,
        permanent=permanent,
        refused=job.refused,
        previous_still_loaded=job.previous_still_loaded,
        digest_mismatch=job.digest_mismatch or memory.digest_mismatch,
    )
    next_try = timestamp(shop.wall() + wait)
    shop.world.remember(job.name, replace(failed, not_before=shop.clock() + wait, next_try=next_try))
