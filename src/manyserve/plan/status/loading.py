"""Aggregation of a model's state on all replicas into the condition `Loaded`.

`Loaded` is True when all ready replicas have loaded the model, and at least one is ready. Otherwise the condition
reports the worst state: a failure before a download, a download before a wait. Of equal states it reports the first by
pod name, so that the progress of many replicas changes one message. The message also says whether the previous version
still answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.conditions import LOADED, MESSAGE_LIMIT, Condition, condition
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import Failure
from manyserve.plan.pods import Replica

_MIB = 1024**2
REFUSED = "ContentRefused"
"""Reason of a loaded model with content that is refused in a new one."""
STILL_SERVED = "; the previous version still answers"
FAILED = (ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED)
WORST_FIRST = (*FAILED, ModelState.DOWNLOADING, ModelState.LOADING, ModelState.PENDING, ModelState.LOADED)


@dataclass(frozen=True)
class Loading:
    """The condition `Loaded`, the counts of replicas behind it, and the current failure."""

    condition: Condition
    replicas: int
    loaded: int
    failure: Failure | None = None
    shards: str | None = None
    """Shards with a copy, such as `s0,s3`; None on a homogeneous host."""


def not_placed(replicas: Sequence[Replica], message: str) -> Loading:
    """Return the state of a model that is not on the host."""
    count = sum(replica.ready for replica in replicas)
    return Loading(Condition(type=LOADED, status="False", reason=ModelState.PENDING, message=message), count, 0)


def roll_up(name: str, entry: Entry, replicas: Sequence[Replica]) -> Loading:
    """Return the state of a model that is placed on the host of this name."""
    ready = [replica for replica in replicas if replica.ready]
    reports = [report for each in ready if (report := each.loaded(entry.model_name, entry.digest)) is not None]
    loaded = len(reports)
    if ready and loaded == len(ready):
        return _loaded_everywhere(loaded, *note_of(zip(ready, reports, strict=True)))
    worst = worst_report(entry, ready) or worst_report(entry, replicas)
    failure = failure_of(*worst) if worst else None
    reason, message = _explanation(name, entry, replicas, worst)
    if 0 < loaded < len(ready):
        message = f"loaded on {loaded} of {len(ready)} replicas; {message}"
    return Loading(Condition(type=LOADED, status="False", reason=reason, message=message), len(ready), loaded, failure)


def note_of(loaded: Iterable[tuple[Replica, ModelReport]]) -> tuple[str | None, str | None]:
    """Return the reason and the first sentence of the agents of a loaded model, warnings first; mostly there is none.

    A note is, for instance, that the store does not answer.
    """
    noted = [(replica, report) for replica, report in loaded if report.warning or report.message]
    for replica, report in noted:
        if report.warning:
            return REFUSED, f"{replica.name}: {report.warning[:MESSAGE_LIMIT]}"
    return (None, f"{noted[0][0].name}: {noted[0][1].message[:MESSAGE_LIMIT]}") if noted else (None, None)


@lru_cache(maxsize=256)  # thousands of models of a host have equal conditions
def _loaded_everywhere(replicas: int, reason: str | None, note: str | None) -> Loading:
    """Return the state of a model that all replicas have."""
    return Loading(condition(LOADED, "True", reason, note), replicas, replicas)


def still_served(entry: Entry, replicas: Sequence[Replica]) -> str:
    """Return the end of a model's message while its previous version answers, else an empty text."""
    reports = (replica.model(entry.model_name, entry.digest) for replica in replicas)
    return STILL_SERVED if any(report is not None and report.serving for report in reports) else ""


def worst_report(entry: Entry, replicas: Sequence[Replica]) -> tuple[Replica, ModelReport] | None:
    """Return the worst report of a replica that has not loaded the model, or None without any."""
    reports = ((replica, replica.model(entry.model_name, entry.digest)) for replica in replicas)
    unloaded = [
        (replica, report)
        for replica, report in reports
        if report is not None and replica.loaded(entry.model_name, entry.digest) is None
    ]
    return min(unloaded, key=lambda each: WORST_FIRST.index(each[1].state), default=None)


def _explanation(
    name: str, entry: Entry, replicas: Sequence[Replica], worst: tuple[Replica, ModelReport] | None
) -> tuple[str, str]:
    """Return the reason and the message of a model that is not loaded everywhere."""
    silent = next((replica for replica in replicas if replica.ready and replica.report is None), None)
    if worst is not None:
        replica, report = worst
        if replica.report and not replica.report.server_ready:
            return ModelState.LOADING, f"{replica.name}: the model server does not answer"
        return report.state, _message(replica, report)
    if silent is not None:
        return ModelState.PENDING, f"{silent.name}: the agent does not answer"
    for replica in replicas:
        error = replica.report and replica.report.config_error
        if error and replica.loaded(entry.model_name, entry.digest) is None:
            return ModelState.PENDING, f"{replica.name}: {error}"
    ready = [replica for replica in replicas if replica.ready]
    if not ready:
        return ModelState.PENDING, f"no replica of {name} is ready"
    unread = sum(replica.loaded(entry.model_name, entry.digest) is None for replica in ready)
    return (
        ModelState.PENDING,
        f"placed on {name}; waiting for {unread} of {len(ready)} pods to read the new models.json",
    )


def _message(replica: Replica, report: ModelReport) -> str:
    ending = STILL_SERVED if report.serving else ""
    if report.state in FAILED:
        return f"{replica.name}: {error_of(report)}{ending}"
    return f"{replica.name}: {report.state.lower()}{progress_of(report)}{ending}"


def error_of(report: ModelReport) -> str:
    """Return the error of a failed model, with its attempt and the time of the next one."""
    retry = f", next try at {report.next_try}" if report.next_try else ""
    return f"{report.message} (attempt {report.attempt}{retry})"


def progress_of(report: ModelReport) -> str:
    """Return the progress of a download, and the reason of a wait."""
    return f"{_progress(report)}{f': {report.message}' if report.message else ''}"


def _progress(report: ModelReport) -> str:
    """Return the progress of a download, with the figures that the agent reports."""
    if report.state != ModelState.DOWNLOADING or report.bytes is None:
        return ""
    if not report.bytes_total:
        return f" ({report.bytes // _MIB:,} MiB so far)"
    percent = min(100 * report.bytes // report.bytes_total, 100)
    return f" {percent} % ({report.bytes // _MIB:,} of {-(-report.bytes_total // _MIB):,} MiB)"


def failure_of(replica: Replica, report: ModelReport) -> Failure | None:
    """Return the failure of a model on a replica, or None if it has not failed there."""
    if report.state not in FAILED:
        return None
    return Failure(
        pod=replica.name,
        reason=report.state,
        message=report.message,
        attempt=report.attempt,
        next_try=report.next_try,
    )
