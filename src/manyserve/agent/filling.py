"""Filling a model's staging folder: by a download that fits onto the volume, or by links to another model's files.

The source is listed before and after a download: what changed while it was read is read again later, never used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from manyserve.agent.digests import content_digest, mismatch
from manyserve.agent.download import Downloader, DownloadError, Listing
from manyserve.agent.job import Job
from manyserve.agent.progress import ProgressReporter
from manyserve.agent.threads import in_thread
from manyserve.agent.volume.dedup import link_tree
from manyserve.agent.volume.disk_budget import disk_full_error
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")
_LOOK_SECONDS = 0.1


async def download(job: Job, entry: Entry, source: Downloader, listing: Listing, let_go: Callable[[], None]) -> None:
    """Download the files and check them. Raises `DownloadError`, `OSError`; leaves nothing behind then."""
    shop, store, name = job.context, job.context.store, job.name
    if shop.world.memory.get(name, job.retry_state).staged:
        await in_thread(store.discard, name)
    await _room(job, listing, let_go)
    log.info("Downloading %s to model dir %s", listing.uri, shop.settings.server_models_dir)
    try:
        with ProgressReporter(job, listing, store.staging) as told:
            folder = await in_thread(store.stage, name, job.digest)
            await source.fetch(listing, folder, told)
        _same(listing, await source.find(listing.uri))
        await _check(job, entry, folder)
        await in_thread(shop.server.prepare, name, folder)
    except BaseException:
        await in_thread(store.discard, name)
        raise


async def _room(job: Job, listing: Listing, let_go: Callable[[], None]) -> None:
    """Wait until the download fits, as long as others are still removed. Raises `DownloadError`."""
    shop = job.context
    last = shop.clock() + shop.settings.unload_seconds
    while True:
        room = shop.budget.room(job.name, shop.store.staging)
        if room.fits(listing.size):
            return
        leaving = sum(name not in shop.world.wanted for name in shop.world.disk)
        if not leaving or shop.clock() > last:
            raise disk_full_error(listing.uri, listing.size, room)
        let_go()
        job.wait(f"waits for room on the volume: {leaving} models that are not wanted any more are removed first")
        await asyncio.sleep(_LOOK_SECONDS)


def _same(before: Listing, after: Listing) -> None:
    if before.fingerprint != after.fingerprint:
        raise DownloadError(f"{before.uri} changed while it was downloaded", reason="changed")


async def _check(job: Job, entry: Entry, folder: Path) -> None:
    """Compare the content with the digest asked for, if one is."""
    asked = entry.model_spec.digest
    if asked is None or (found := await content_digest(folder)) == asked:
        return
    sentence = mismatch(entry.model_spec.storage_uri, found, asked)
    job.digest_mismatch = (job.fingerprint, sentence)
    raise DownloadError(sentence, reason="digest", permanent=True)


async def link(job: Job, entry: Entry, listing: Listing) -> bool:
    """Link the files of a model that has the same; tell whether there is one."""
    shop, world, store = job.context, job.context.world, job.context.store
    donors = {name: world.wanted[name].digest for name in shop.sharing.candidates(entry, world.wanted, world.disk)}
    if not donors:
        return False
    try:
        donor = await in_thread(_link_first, job, donors, listing)
        if donor:
            await in_thread(shop.server.prepare, job.name, store.staged(job.name, job.digest))
            log.info("%s is here already, with model %s: its files are linked", listing.uri, donor)
            return True
    except OSError as error:
        log.warning("the files of %s cannot be linked, they are downloaded: %s", listing.uri, error)
        await in_thread(store.discard, job.name)
    except BaseException:
        await in_thread(store.discard, job.name)
        raise
    return False


def _link_first(job: Job, donors: dict[str, str], listing: Listing) -> str:
    """Link the files of the first donor that has the listed ones, and return its name.

    It must have them still afterwards: its marker is the first thing that goes when it is changed or removed.
    """
    store = job.context.store
    may_copy = job.context.budget.room(job.name, store.staging).fits(listing.size)
    for donor, theirs in donors.items():
        if store.fingerprint(donor, theirs) == listing.fingerprint:
            link_tree(store.models / donor, store.stage(job.name, job.digest), may_copy=may_copy)
            if store.fingerprint(donor, theirs) == listing.fingerprint:
                return donor
    return ""
