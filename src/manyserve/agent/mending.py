"""The steps after an update that failed or was given up: the version before back, loaded again, the rest away.

They are no tries of what is wanted: when one fails, it is tried again later, and what is told of the model stays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from manyserve.agent import serving
from manyserve.agent.job import Job
from manyserve.agent.retry import backoff
from manyserve.agent.sync import NOTHING, Step, is_ready
from manyserve.agent.text import one_line
from manyserve.agent.threads import in_thread

log = logging.getLogger("manyserve.agent")
_WAIT = 10  # as after so many failures


async def put_back(job: Job) -> None:
    """Put the files of the version before in their place. Raises `OSError`, and as `load` does.

    When the server may have taken the new ones unseen, it loads them again: what it answers with is what lies there.
    """
    store, world, name = job.shop.store, job.shop.world, job.name
    job.enter(Step.PUT_BACK, may_stop=False)
    ready = is_ready(name, world.seen)
    sure = job.memory.sure or await in_thread(store.is_sure, name)
    try:
        staged = await in_thread(partial(store.put_back, name, renewed=not (sure and ready)))
        world.remember(name, replace(job.memory, staged=staged))
        if ready and not sure:
            await serving.load_alone(job)
        await in_thread(store.confirm, name)
    finally:
        world.look_at_disk()
    log.info("The version before of model %s is in its place again", name)


async def tidy(job: Job) -> None:
    """Remove what an update left behind. Raises `OSError`."""
    store, world, name = job.shop.store, job.shop.world, job.name
    job.enter(Step.TIDY, may_stop=False)
    await in_thread(store.drop_kept, name)
    await in_thread(store.discard, name)
    world.on_disk(name, replace(world.disk.get(name, NOTHING), kept=""))
    world.remember(name, replace(job.memory.cured(), staged=""))


STEPS: Mapping[Step, Callable[[Job], Awaitable[None]]] = {
    Step.PUT_BACK: put_back,
    Step.REVIVE: serving.revive,
    Step.TIDY: tidy,
}


def failed(job: Job, step: Step, error: BaseException) -> None:
    """Remember when a step is tried again."""
    shop = job.shop
    wait = backoff(permanent=False).delay(_WAIT, shop.jitter())
    log.error("Failed to %s model %s, next try in %.1f s: %s", step.value, job.name, wait, one_line(error))
    shop.metrics.failures.labels("mend", type(error).__name__).inc()
    shop.world.remember(job.name, replace(job.memory, mend_after=shop.clock() + wait))
