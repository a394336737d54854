"""The steps after an update that failed or was given up: the version before back, loaded again, the rest away.

They are no tries of what is wanted: when one fails, it is tried again later, and what is told of the model stays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from manyserve.agent import load
from manyserve.agent.job import Job
from manyserve.agent.reconcile import NOTHING, Step, is_ready
from manyserve.agent.redaction import one_line
from manyserve.agent.retry import backoff
from manyserve.agent.threads import in_thread

log = logging.getLogger("manyserve.agent")
_WAIT = 10  # as after so many failures


async def roll_back(job: Job) -> None:
    """Put the files of the version before in their place. Raises `OSError`, and as `load` does.

    When the server may have taken the new ones unseen, it loads them again: what it answers with is what lies there.
    """
    store, world, name = job.context.store, job.context.world, job.name
    job.enter(Step.ROLLBACK, may_stop=False)
    ready = is_ready(name, world.seen)
    sure = job.retry_state.previous_still_loaded or await in_thread(store.is_sure, name)
    try:
        staged = await in_thread(partial(store.put_back, name, renewed=not (sure and ready)))
        world.remember(name, replace(job.retry_state, staged=staged))
        if ready and not sure:
            await load.load_alone(job)
        await in_thread(store.confirm, name)
    finally:
        world.rescan()
    log.info("The version before of model %s is in its place again", name)


async def clean_up(job: Job) -> None:
    """Remove what an update left behind. Raises `OSError`."""
    store, world, name = job.context.store, job.context.world, job.name
    job.enter(Step.CLEANUP, may_stop=False)
    await in_thread(store.drop_kept, name)
    await in_thread(store.discard, name)
    world.on_disk(name, replace(world.disk.get(name, NOTHING), kept=""))
    world.remember(name, replace(job.retry_state.cleared(), staged=""))


STEPS: Mapping[Step, Callable[[Job], Awaitable[None]]] = {
    Step.ROLLBACK: roll_back,
    Step.RELOAD_PREVIOUS: load.revive,
    Step.CLEANUP: clean_up,
}


def failed(job: Job, step: Step, error: BaseException) -> None:
    """Remember when a step is tried again."""
    shop = job.context
    wait = backoff(permanent=False).delay(_WAIT, shop.jitter())
    log.error("Failed to %s model %s, next try in %.1f s: %s", step.value, job.name, wait, one_line(error))
    shop.metrics.failures.labels("mend", type(error).__name__).inc()
    shop.world.remember(job.name, replace(job.retry_state, rollback_not_before=shop.clock() + wait))
