"""The fetch step: download a model's files into staging, check them, flush them, swap them in, mark them.

Nothing is downloaded when the files exist already:

- on disk, with the fingerprint of the source, as before most repeated loads;
- in staging, since the model server rejected them;
- with another model of the same source, from which they are linked.

The source is listed before and after a download. Files that changed in between are never used, but read again later.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

from manyserve.agent.concurrency import in_thread
from manyserve.agent.content import Content, refuse_new
from manyserve.agent.download import Downloader, DownloadError, Listing, choose
from manyserve.agent.download.checksums import content_digest, mismatch
from manyserve.agent.download_slot import Slot
from manyserve.agent.download_slots import LARGE_BYTES
from manyserve.agent.job import Job, ProgressReporter
from manyserve.agent.prepare import prepare
from manyserve.agent.reconcile import NOTHING, OnDisk, Step
from manyserve.agent.retry import Stage, Unusable
from manyserve.agent.volume.disk_budget import DiskSpace, disk_full_error
from manyserve.agent.volume.disk_space import is_full, link_tree
from manyserve.agent.volume.markers import SUCCESS
from manyserve.api.modelconfig import Entry

log = logging.getLogger("manyserve.agent")
_POLL_SECONDS = 0.1


async def fetch(job: Job, entry: Entry) -> None:
    """Fetch the files. Raises `DownloadError`, `RefusedFilesError`, `OSError`. Can be cancelled until the swap."""
    context = job.context
    lock = context.dedup.lock_for(entry.model_spec.storage_uri)
    if lock.locked():
        job.set_note("waits for another model that is read from the same place")
    async with lock:
        if job.retry_state.is_slow:
            job.set_note("waits for a slot among slow downloads")
        async with context.downloads.acquire(entry.model_spec.storage_uri, is_slow=job.retry_state.is_slow) as slot:
            job.enter(Step.FETCH, cancellable=True)
            started = context.clock()
            is_filled = await _fill_staging(job, entry, slot)
        if is_filled:
            await _swap_in(job, entry)
        now = context.clock()
    retry = job.retry_state if job.retry_state.failed is Stage.LOAD else job.retry_state.cleared()
    retry = replace(retry, checked_at=now, not_before=0.0, is_unversioned=not job.is_versioned)
    if is_filled:
        seconds = round(now - started, 3)
        context.metrics.download_seconds.observe(seconds)
        retry = replace(retry, download_seconds=seconds, staged="", refused=False, previous_still_loaded=False)
    context.state.set_retry(job.name, retry)


async def _fill_staging(job: Job, entry: Entry, slot: Slot) -> bool:
    """Fill the staging folder and set `job.fingerprint`. Return False if the files on disk are current already."""
    context, uri = job.context, entry.model_spec.storage_uri
    source = choose(uri, context.downloaders)
    try:
        async with asyncio.timeout(context.settings.download_seconds):
            listing = await source.find(uri)
            job.is_versioned = listing.is_versioned
            if _is_current(job, listing) or not await _fetch_files(job, entry, source, listing, slot):
                log.log(job.log_level, "%s has not changed since it was copied", uri)
                return False
    except TimeoutError as error:
        sentence = f"{uri} did not arrive within {context.settings.download_seconds:g} s"
        raise DownloadError(sentence, reason="timeout") from error
    except Exception as error:
        if is_full(error):
            raise disk_full_error(uri, 0, context.budget.space_for(job.name, context.store.staging)) from error
        raise
    return True


def _is_current(job: Job, listing: Listing) -> bool:
    disk = job.context.state.disk.get(job.name, NOTHING)
    return disk.digest == job.digest and job.context.store.fingerprint(job.name, job.digest) == listing.fingerprint


async def _fetch_files(job: Job, entry: Entry, source: Downloader, listing: Listing, slot: Slot) -> bool:
    """Use the staged files, else link those of another model, else download.

    Return False if the download has the version of the files on disk: the listing had another one, as caches may do.
    """
    job.fingerprint, retry = listing.fingerprint, job.retry_state
    unusable = retry.unusable
    if unusable and (unusable.fingerprint, unusable.memory) == (listing.fingerprint, entry.model_spec.memory):
        raise DownloadError(unusable.message, reason=unusable.reason, permanent=True)
    if len(listing.files) > 1:  # a single one may be an archive, smaller or larger than its files
        refuse_new(entry, Content(listing.size))
    if retry.staged == listing.fingerprint and job.context.store.staged(job.name, job.digest).exists():
        log.info("%s has not changed since the model server rejected it", listing.uri)
    elif not await _link(job, entry, listing):
        read = await _download(job, entry, source, listing, slot)
        if read.is_versioned and _is_current(job, read):
            await in_thread(job.context.store.discard, job.name)
            return False
    return True


async def _download(job: Job, entry: Entry, source: Downloader, listing: Listing, slot: Slot) -> Listing:
    """Download the files and check them. Return the listing of what was read, by which the files are known from now on.

    Raises `DownloadError`, `OSError`, and then leaves nothing behind.
    """
    context, store, name = job.context, job.context.store, job.name
    if context.state.retries.get(name, job.retry_state).staged:
        await in_thread(store.discard, name)
    await _wait_for_place(job, listing, slot)
    log.info("Downloading %s to model dir %s", listing.uri, context.settings.server_models_dir)
    try:
        with ProgressReporter(job, listing, store.staging, slot) as progress:
            folder = await in_thread(store.stage, name, job.digest)
            read = await source.fetch(listing, folder, progress)
            progress.complete()
        job.fingerprint, job.is_versioned = read.fingerprint, job.is_versioned or read.is_versioned
        _check_unchanged(listing, await source.find(listing.uri))
        await _check_digest(job, entry, folder)
        await prepare(job, entry, folder)
    except BaseException:
        await in_thread(store.discard, name)
        raise
    return read


async def _wait_for_place(job: Job, listing: Listing, slot: Slot) -> None:
    """Wait for the slot of a large download, and until it fits while others are removed. Raises `DownloadError`."""
    context = job.context
    if is_large := listing.size >= LARGE_BYTES:
        job.set_note("waits for a slot among large downloads")
    await slot.change(is_large=is_large)
    deadline = context.clock() + context.settings.unload_seconds
    while not (space := await _measured_space(job, listing.size)).fits(listing.size):
        leaving = sum(name not in context.state.desired for name in context.state.disk)
        if not leaving or context.clock() > deadline:
            raise disk_full_error(listing.uri, listing.size, space)
        slot.release()
        job.set_note(f"waits for disk space: {leaving} models are being removed")
        await asyncio.sleep(_POLL_SECONDS)
    if not slot.is_held:
        await _wait_for_place(job, listing, slot)


async def _measured_space(job: Job, size: int) -> DiskSpace:
    """Return the disk space. Measure the use of the volume first, if that is due or may help."""
    budget, store, now = job.context.budget, job.context.store, job.context.clock()
    if budget.is_due(now, fits=budget.space_for(job.name, store.staging).fits(size)):
        await budget.measure(store.root, now)
    return budget.space_for(job.name, store.staging)


def _check_unchanged(before: Listing, after: Listing) -> None:
    if before.fingerprint != after.fingerprint:
        raise DownloadError(f"{before.uri} changed while it was downloaded", reason="changed")


async def _check_digest(job: Job, entry: Entry, folder: Path) -> None:
    """Compare the content with the digest in the spec, if there is one."""
    expected = entry.model_spec.digest
    if expected is None or (actual := await content_digest(folder)) == expected:
        return
    sentence = mismatch(entry.model_spec.storage_uri, actual, expected)
    job.unusable = Unusable(job.fingerprint, entry.model_spec.memory, sentence, "digest")
    raise DownloadError(sentence, reason="digest", permanent=True)


async def _link(job: Job, entry: Entry, listing: Listing) -> bool:
    """Link the files of another model with the same content. Return False if there is none."""
    context, state, store = job.context, job.context.state, job.context.store
    names = context.dedup.candidates(entry, state.desired, state.disk)
    candidates = {name: state.desired[name].digest for name in names}
    if not candidates:
        return False
    try:
        candidate = await in_thread(_link_first, job, candidates, listing)
        if candidate:
            await prepare(job, entry, store.staged(job.name, job.digest))
            log.info("%s is on the volume already, with model %s: its files are linked", listing.uri, candidate)
            return True
    except OSError as error:
        log.warning("the files of %s cannot be linked, they are downloaded: %s", listing.uri, error)
        await in_thread(store.discard, job.name)
    except BaseException:
        await in_thread(store.discard, job.name)
        raise
    return False


def _link_first(job: Job, candidates: dict[str, str], listing: Listing) -> str:
    """Link the files of the first candidate with the listed files, and return its name.

    The candidate must have them still afterwards. A change or a removal deletes its marker first.
    """
    store = job.context.store
    may_copy = job.context.budget.space_for(job.name, store.staging).fits(listing.size)
    for candidate, digest in candidates.items():
        if store.fingerprint(candidate, digest) == listing.fingerprint:
            link_tree(store.models / candidate, store.stage(job.name, job.digest), may_copy=may_copy)
            if store.fingerprint(candidate, digest) == listing.fingerprint:
                return candidate
    return ""


async def _swap_in(job: Job, entry: Entry) -> None:
    context, store, name = job.context, job.context.store, job.name
    job.enter(Step.FETCH, cancellable=False)
    job.is_noop = False
    try:
        await in_thread(store.swap_in, name, job.digest)
        models_dir = context.settings.server_models_dir
        log.info("Successfully copied %s to %s", entry.model_spec.storage_uri, models_dir / name)
        log.info("Creating successFile %s", store.marker(name, SUCCESS, job.digest))
        await in_thread(store.mark, name, SUCCESS, job.digest, job.fingerprint)
        kept = await in_thread(store.kept_digest, name)
    except OSError:
        context.state.rescan()
        raise
    context.state.set_on_disk(name, OnDisk(job.digest, kept=kept))
