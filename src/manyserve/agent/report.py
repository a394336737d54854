"""The agent's report: the state of each model as a pure function of the observed state, and its publication.

A failed state remains while the model is retried; it changes when the retry gets further.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from manyserve.agent.content import Content, warning
from manyserve.agent.job import IDLE, JobProgress
from manyserve.agent.reconcile import ABSENT, NOTHING, Observed, ServerState, Step, is_loaded, is_ready
from manyserve.agent.retry import RetryState, Stage, has_refresh
from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.modelconfig import Entry
from manyserve.redaction import one_line

_FAILED = {Stage.DOWNLOAD: ModelState.DOWNLOAD_FAILED, Stage.LOAD: ModelState.LOAD_FAILED}
_REFRESH_FAILED = {
    Stage.DOWNLOAD: "no newer files could be read",
    Stage.LOAD: "newer files could not be loaded",
}
_UNVERSIONED = "a refresh notices another size only: the server of the files sends neither ETag nor Last-Modified"
_BUSY = "the model server is still busy with an earlier load or unload of this model"
NO_CONTENT = Content()
NO_CONTENTS: Mapping[tuple[str, str], Content] = {}
_TRIES = {Step.FETCH, Step.LOAD}


def model_state(name: str, entry: Entry, observed: Observed, step: Step | None) -> ModelState:
    """Return the state of a model; `step` is its running step."""
    if is_loaded(name, entry.digest, observed):
        return ModelState.LOADED
    retry = observed.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest)
    if retry.failed in _FAILED:
        return _FAILED[retry.failed]
    if observed.disk.get(name, NOTHING).digest == entry.digest:
        return ModelState.LOADING
    return ModelState.DOWNLOADING if step is Step.FETCH else ModelState.PENDING


def serves_previous(name: str, entry: Entry, observed: Observed) -> bool:
    """Return whether the server answers for the model with an earlier version of its files."""
    disk = observed.disk.get(name, NOTHING)
    has_previous = bool(disk.kept) or (disk.loaded and disk.digest != entry.digest)
    return has_previous and is_ready(name, observed) and not is_loaded(name, entry.digest, observed)


def model_report(
    name: str, entry: Entry, observed: Observed, progress: JobProgress = IDLE, judged: Content = NO_CONTENT
) -> ModelReport:
    """Return the report of one model."""
    state = model_state(name, entry, observed, progress.step)
    retry = observed.retries.get(name, RetryState(entry.digest)).for_digest(entry.digest)
    failed = state in _FAILED.values()
    trying = state is not ModelState.PENDING and (progress.step in _TRIES or not failed)
    server = (observed.index or {}).get(name, ABSENT)
    busy = progress.step is None and server.state in {ServerState.LOADING, ServerState.UNLOADING}
    return ModelReport(
        state=state,
        digest=entry.digest,
        attempt=retry.failures + trying,
        message=_message(retry, state, progress.note or (_BUSY if busy else "")) or _remark(entry, retry, state),
        permanent=retry.permanent and failed,
        next_try=retry.next_try if progress.step not in _TRIES and not busy else None,
        bytes=progress.arrived,
        bytes_total=progress.total,
        serving=serves_previous(name, entry, observed),
        download_seconds=retry.download_seconds,
        load_seconds=retry.load_seconds,
        warning=warning(entry, judged) if state is ModelState.LOADED else "",
    )


def _message(retry: RetryState, state: ModelState, note: str) -> str:
    """Return the last error, else the reason of a wait; for a loaded model only the error of a refresh."""
    if state is not ModelState.LOADED:
        return retry.message if state in _FAILED.values() else note
    if retry.failed in _REFRESH_FAILED:
        return one_line(f"{_REFRESH_FAILED[retry.failed]}: {retry.message}")
    return ""


def _remark(entry: Entry, retry: RetryState, state: ModelState) -> str:
    """Return the remark on a loaded model with refreshes that cannot notice a change."""
    return _UNVERSIONED if state is ModelState.LOADED and retry.is_unversioned and has_refresh(entry) else ""


class ReportBuilder:
    """Builder of the models' reports, with a cache of those that did not change."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[tuple[object, ...], ModelReport]] = {}

    def build(
        self,
        observed: Observed,
        progress: Mapping[str, JobProgress],
        contents: Mapping[tuple[str, str], Content] = NO_CONTENTS,
        routed: Container[str] | None = None,
    ) -> dict[str, ModelReport]:
        """Return the report of each desired model; `progress` is that of the models with a job.

        `routed` has the models that all routers have; None where there are no routers.
        """
        index = observed.index or {}
        reports: dict[str, tuple[tuple[object, ...], ModelReport]] = {}
        for name, entry in observed.desired.items():
            doing = progress.get(name, IDLE)
            judged, spec = contents.get((name, entry.digest), NO_CONTENT), entry.model_spec
            is_routed = None if routed is None else name in routed
            parts = (observed.disk.get(name), index.get(name), observed.retries.get(name), doing, judged, is_routed)
            key = (entry.digest, spec.memory, spec.content_rules, *parts)
            cached = self._cache.get(name)
            if cached is None or cached[0] != key:
                report = model_report(name, entry, observed, doing, judged)
                cached = (key, report if is_routed is None else replace(report, routed=is_routed))
            reports[name] = cached
        self._cache = reports
        return {name: report for name, (_, report) in reports.items()}


class ReportPublisher:
    """The report in force, with a revision and long-poll waiters."""

    def __init__(self, instance: str) -> None:
        self.report = AgentReport(instance=instance, revision=1)
        self._body = b""
        self._changed = asyncio.Event()

    def publish(self, **fields: Any) -> bool:
        """Put these fields in force. Return whether anything changed; a change wakes the waiters."""
        if all(getattr(self.report, name) == value for name, value in fields.items()):
            return False
        self.report = self.report.model_copy(update={**fields, "revision": self.report.revision + 1})
        self._body = b""
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    def body(self) -> bytes:
        """Return the report as JSON, serialized once for each revision."""
        self._body = self._body or self.report.model_dump_json(exclude_none=True).encode()
        return self._body

    def wake_all(self) -> None:
        """Wake all waiters, because the agent stops."""
        self._changed.set()

    async def wait(self, revision: int | None, instance: str | None, seconds: float) -> None:
        """Wait until the report differs from the caller's, for at most `seconds`."""
        if revision != self.report.revision or (instance and instance != self.report.instance):
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
