"""Preparation of downloaded files for the model server, and the refusal of a new model's files that break a rule."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from manyserve.agent import content
from manyserve.agent.concurrency import in_thread
from manyserve.agent.content import Content
from manyserve.agent.job import AgentContext, Job
from manyserve.agent.reconcile import NOTHING
from manyserve.agent.retry import Unusable
from manyserve.agent.servers import ModelServer, RefusedFilesError
from manyserve.api.modelconfig import Entry


async def prepare(job: Job, entry: Entry, folder: Path) -> None:
    """Judge the files, and add those that the server needs. Raises `RefusedFilesError`, `OSError`."""
    server = job.context.server
    try:
        judged = await in_thread(judge, server, entry, folder)
        content.refuse_new(entry, judged)
        await in_thread(server.prepare, job.name, folder)
    except RefusedFilesError as error:
        job.unusable = Unusable(job.fingerprint, entry.model_spec.memory, str(error), content.REASON)
        raise
    job.context.state.contents[job.name, job.digest] = judged


async def judge_found(context: AgentContext) -> None:
    """Judge the files that an earlier agent of this pod has fetched. They are served, so none is refused."""
    state = context.state
    for name, entry in state.desired.items():
        key = name, entry.digest
        if key not in state.contents and state.disk.get(name, NOTHING).digest == entry.digest:
            with suppress(FileNotFoundError):  # it is being replaced
                judged = await in_thread(judge, context.server, entry, context.store.models / name)
                state.contents.setdefault(key, judged)
    state.changed.set()


def judge(server: ModelServer, entry: Entry, folder: Path) -> Content:
    """Return the content of a folder. Blocks on the disk."""
    try:
        problem = server.content_error(entry.model_name, entry.model_spec.framework, folder)
    except RefusedFilesError as error:
        problem = str(error)
    return Content(size_of(folder), problem)


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder. Blocks on the disk."""
    return sum((Path(parent) / name).lstat().st_size for parent, _, names in os.walk(folder) for name in names)
