"""The step that brings a model's files: into staging, checked, flushed, swapped in, marked.

The source is listed before and after: what changed while it was read is read again later, never used. When
the files on disk are those of the source already, as before most repeated loads, nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import replace
from pathlib import Path

from manyserve.agent.download import Downloader, DownloadError, Listing, choose
from manyserve.agent.job import Job
from manyserve.agent.retry import Stage
from manyserve.agent.store import SUCCESS
from manyserve.agent.sync import OnDisk, Step
from manyserve.agent.threads import in_thread
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")


class _Told:
    """Counts what a download brings."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def arrived(self, count: int) -> None:
        """Count bytes of the network."""
        self._job.shop.metrics.bytes.inc(count)

    def stored(self, count: int) -> None:
        """Count bytes of the volume."""


async def fetch(job: Job, entry: Entry) -> None:
    """Bring the files. Raises `DownloadError`, `OSError`; may be cancelled until the swap."""
    shop, name, digest = job.shop, job.name, job.digest
    async with shop.downloads:
        job.enter(Step.FETCH, may_stop=True)
        started = shop.clock()
        if not await _download(job, entry):
            return
        await _put_in_place(job, entry)
        seconds = round(shop.clock() - started, 3)
    shop.metrics.download_seconds.observe(seconds)
    memory = job.memory if job.memory.failed is Stage.LOAD else type(job.memory)(digest)
    shop.world.remember(name, replace(memory, download_seconds=seconds, not_before=0.0))


async def _download(job: Job, entry: Entry) -> bool:
    """Fill the staging folder; tell whether there was anything to do. `job.fingerprint` then says what it was."""
    shop, uri = job.shop, entry.model_spec.storage_uri
    source = choose(uri, shop.downloaders)
    try:
        async with asyncio.timeout(shop.settings.download_seconds):
            listing = await source.find(uri)
            if _is_here(job, listing):
                log.info("%s has not changed since it was copied", uri)
                return False
            log.info("Downloading %s to model dir %s", uri, shop.settings.server_models_dir)
            await _fill(job, source, listing)
    except TimeoutError as error:
        sentence = f"{uri} did not arrive within {shop.settings.download_seconds:g} s"
        raise DownloadError(sentence, reason="timeout") from error
    job.fingerprint = listing.fingerprint
    return True


def _is_here(job: Job, listing: Listing) -> bool:
    disk = job.shop.world.disk.get(job.name)
    return bool(
        disk and disk.digest == job.digest and job.shop.store.fingerprint(job.name, job.digest) == listing.fingerprint
    )


async def _fill(job: Job, source: Downloader, listing: Listing) -> None:
    store = job.shop.store
    free = shutil.disk_usage(store.staging).free
    if listing.size > free:
        raise DownloadError(f"{listing.uri} has {listing.size} bytes, the volume has {free} free", reason="disk")
    folder = await in_thread(store.stage, job.name, job.digest)
    try:
        await source.fetch(listing, folder, _Told(job))
        _same(listing, await source.find(listing.uri))
        await in_thread(_all_there, listing, folder)
        await in_thread(job.shop.server.prepare, job.name, folder)
    except BaseException:
        await in_thread(store.discard, job.name, job.digest)
        raise


def _same(before: Listing, after: Listing) -> None:
    if before.fingerprint != after.fingerprint:
        raise DownloadError(f"{before.uri} changed while it was downloaded", reason="changed")


def _all_there(listing: Listing, folder: Path) -> None:
    """Look at every file once more before it is called a success."""
    for file in listing.files:
        path = folder / file.path
        if not path.exists() or (path.is_file() and path.stat().st_size != file.size):
            raise DownloadError(f"{file.path} of {listing.uri} did not arrive whole", reason="short")


async def _put_in_place(job: Job, entry: Entry) -> None:
    shop, store, name = job.shop, job.shop.store, job.name
    job.enter(Step.FETCH, may_stop=False)
    await in_thread(store.swap_in, name, job.digest)
    log.info("Successfully copied %s to %s", entry.model_spec.storage_uri, shop.settings.server_models_dir / name)
    log.info("Creating successFile %s", store.marker(name, SUCCESS, job.digest))
    await in_thread(store.mark, name, SUCCESS, job.digest, job.fingerprint)
    shop.world.on_disk(name, OnDisk(job.digest))
