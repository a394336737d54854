"""What the agent tells about itself: each model's state as a pure function of what is seen, and the board.

The board holds the report in force with its revision, and those who wait for the next one. A state that has
failed stays so while it is tried again; it changes when the try gets further.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from manyserve.agent.job import IDLE, JobProgress
from manyserve.agent.reconcile import ABSENT, NOTHING, Observed, ServerState, Step, is_loaded, is_ready
from manyserve.agent.redaction import one_line
from manyserve.agent.retry import RetryState, Stage
from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.modelconfig import Entry

_FAILED = {Stage.DOWNLOAD: ModelState.DOWNLOAD_FAILED, Stage.LOAD: ModelState.LOAD_FAILED}
_AGAIN = {Stage.DOWNLOAD: "no newer files could be read", Stage.LOAD: "newer files could not be loaded"}
_BUSY = "the model server is still busy with an earlier load or unload of this model"
_TRIES = {Step.FETCH, Step.LOAD}


def model_state(name: str, entry: Entry, seen: Observed, stage: Step | None) -> ModelState:
    """Return how far a model is; `stage` is the step in work."""
    if is_loaded(name, entry.digest, seen):
        return ModelState.LOADED
    memory = seen.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest)
    if memory.failed in _FAILED:
        return _FAILED[memory.failed]
    if seen.disk.get(name, NOTHING).digest == entry.digest:
        return ModelState.LOADING
    return ModelState.DOWNLOADING if stage is Step.FETCH else ModelState.PENDING


def serves_another(name: str, entry: Entry, seen: Observed) -> bool:
    """Tell whether the server answers for the model with an earlier version of its files."""
    disk = seen.disk.get(name, NOTHING)
    earlier = bool(disk.kept) or (disk.loaded and disk.digest != entry.digest)
    return earlier and is_ready(name, seen) and not is_loaded(name, entry.digest, seen)


def model_report(name: str, entry: Entry, seen: Observed, doing: JobProgress = IDLE) -> ModelReport:
    """Return what is told of one model."""
    state = model_state(name, entry, seen, doing.stage)
    memory = seen.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest)
    failed = state in _FAILED.values()
    trying = state is not ModelState.PENDING and (doing.stage in _TRIES or not failed)
    server = (seen.index or {}).get(name, ABSENT)
    busy = doing.stage is None and server.state in {ServerState.LOADING, ServerState.UNLOADING}
    return ModelReport(
        state=state,
        digest=entry.digest,
        attempt=memory.failures + trying,
        message=_message(memory, state, doing.note or (_BUSY if busy else "")),
        permanent=memory.permanent and failed,
        next_try=memory.next_try if doing.stage not in _TRIES and not busy else None,
        bytes=doing.arrived,
        bytes_total=doing.total,
        serving=serves_another(name, entry, seen),
        download_seconds=memory.download_seconds,
        load_seconds=memory.load_seconds,
    )


def _message(memory: RetryState, state: ModelState, note: str) -> str:
    """Return the last error, else what is waited for; of a loaded model only an error of the look for newer files."""
    if state is not ModelState.LOADED:
        return memory.message if state in _FAILED.values() else note
    if memory.failed in _AGAIN:
        return one_line(f"{_AGAIN[memory.failed]}: {memory.message}")
    return ""


class ReportBuilder:
    """The reports of all models, made anew only for those that changed."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[tuple[object, ...], ModelReport]] = {}

    def of(self, seen: Observed, work: Mapping[str, JobProgress]) -> dict[str, ModelReport]:
        """Return the report of each wanted model; `work` has what is being done for those in work."""
        index = seen.index or {}
        made: dict[str, tuple[tuple[object, ...], ModelReport]] = {}
        for name, entry in seen.desired.items():
            doing = work.get(name, IDLE)
            key = (entry.digest, seen.disk.get(name), index.get(name), seen.retries.get(name), doing)
            old = self._made.get(name)
            made[name] = old if old and old[0] == key else (key, model_report(name, entry, seen, doing))
        self._made = made
        return {name: report for name, (_, report) in made.items()}


class ReportPublisher:
    """The report in force, and those who wait for the next."""

    def __init__(self) -> None:
        self.report = AgentReport(instance=secrets.token_hex(8), revision=1)
        self._body = b""
        self._changed = asyncio.Event()

    def post(self, **parts: Any) -> bool:
        """Put these fields in force. Tell whether that changed anything; those who wait are told then."""
        if all(getattr(self.report, name) == value for name, value in parts.items()):
            return False
        self.report = self.report.model_copy(update={**parts, "revision": self.report.revision + 1})
        self._body = b""
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    def body(self) -> bytes:
        """Return the report as JSON; made once a revision, however many ask."""
        self._body = self._body or self.report.model_dump_json(exclude_none=True).encode()
        return self._body

    def release(self) -> None:
        """Let go of all who wait: the agent stops."""
        self._changed.set()

    async def wait(self, after: int | None, instance: str | None, seconds: float) -> None:
        """Return when the report is another than the one the caller knows, or the time is over."""
        if after != self.report.revision or (instance and instance != self.report.instance):
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
