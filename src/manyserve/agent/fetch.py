"""The step that brings a model's files: into staging, checked, flushed, swapped in, marked.

When the files on disk are those of the source already, as before most repeated loads, nothing is downloaded;
nor when they wait in staging since the server did not take them, nor when another model has them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from manyserve.agent import filling
from manyserve.agent.download import Downloader, DownloadError, Listing, choose
from manyserve.agent.job import Job
from manyserve.agent.reconcile import NOTHING, OnDisk, Step
from manyserve.agent.retry import Stage
from manyserve.agent.threads import in_thread
from manyserve.agent.volume.disk_budget import disk_full_error, is_full
from manyserve.agent.volume.markers import SUCCESS
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")


async def fetch(job: Job, entry: Entry) -> None:
    """Bring the files. Raises `DownloadError`, `OSError`; may be cancelled until the swap."""
    shop = job.context
    turn = shop.sharing.lock_for(entry.model_spec.storage_uri)
    if turn.locked():
        job.wait("waits for another model that is read from the same place")
    async with turn, shop.downloads.acquire() as let_go:
        job.enter(Step.FETCH, may_stop=True)
        started = shop.clock()
        brought = await _bring(job, entry, let_go)
        if brought:
            await _put_in_place(job, entry)
        now = shop.clock()
    memory = job.retry_state if job.retry_state.failed is Stage.LOAD else job.retry_state.cleared()
    memory = replace(memory, checked_at=now, not_before=0.0)
    if brought:
        seconds = round(now - started, 3)
        shop.metrics.download_seconds.observe(seconds)
        memory = replace(memory, download_seconds=seconds, staged="", refused=False, previous_still_loaded=False)
    shop.world.remember(job.name, memory)


async def _bring(job: Job, entry: Entry, let_go: Callable[[], None]) -> bool:
    """Fill the staging folder; tell whether there was anything to do. `job.fingerprint` then says what it was."""
    shop, uri = job.context, entry.model_spec.storage_uri
    source = choose(uri, shop.downloaders)
    try:
        async with asyncio.timeout(shop.settings.download_seconds):
            listing = await source.find(uri)
            if _is_here(job, listing):
                log.log(job.level, "%s has not changed since it was copied", uri)
                return False
            await _fill(job, entry, source, listing, let_go)
    except TimeoutError as error:
        sentence = f"{uri} did not arrive within {shop.settings.download_seconds:g} s"
        raise DownloadError(sentence, reason="timeout") from error
    except Exception as error:
        if is_full(error):
            raise disk_full_error(uri, 0, shop.budget.room(job.name, shop.store.staging)) from error
        raise
    return True


def _is_here(job: Job, listing: Listing) -> bool:
    disk = job.context.world.disk.get(job.name, NOTHING)
    return disk.digest == job.digest and job.context.store.fingerprint(job.name, job.digest) == listing.fingerprint


async def _fill(job: Job, entry: Entry, source: Downloader, listing: Listing, let_go: Callable[[], None]) -> None:
    """Bring the files into staging, by the shortest way."""
    job.fingerprint, memory = listing.fingerprint, job.retry_state
    if memory.digest_mismatch and memory.digest_mismatch[0] == listing.fingerprint:
        raise DownloadError(memory.digest_mismatch[1], reason="digest", permanent=True)
    if memory.staged == listing.fingerprint and job.context.store.staged(job.name, job.digest).exists():
        log.info("%s has not changed since the model server did not take it", listing.uri)
    elif not await filling.link(job, entry, listing):
        await filling.download(job, entry, source, listing, let_go)


async def _put_in_place(job: Job, entry: Entry) -> None:
    shop, store, name = job.context, job.context.store, job.name
    job.enter(Step.FETCH, may_stop=False)
    job.is_noop = False
    try:
        await in_thread(store.swap_in, name, job.digest)
        log.info("Successfully copied %s to %s", entry.model_spec.storage_uri, shop.settings.server_models_dir / name)
        log.info("Creating successFile %s", store.marker(name, SUCCESS, job.digest))
        await in_thread(store.mark, name, SUCCESS, job.digest, job.fingerprint)
        kept = await in_thread(store.kept_digest, name)
    except OSError:
        shop.world.rescan()
        raise
    shop.world.on_disk(name, OnDisk(job.digest, kept=kept))
