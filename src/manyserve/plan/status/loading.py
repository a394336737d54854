"""Aggregation of a model's state on all replicas into the condition `Loaded`.

`Loaded` is True when all ready replicas have loaded the model, and at least one is ready. Otherwise the condition
reports the worst state: a failure before a download, a download before a wait. Of equal states it reports the first by
pod name, so that the progress of many replicas changes one message. The message also says whether the previous version
still answers.
"""

from __future__ import annotations

from collections.abc import Sequence
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
_FAILED = (ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED)
_WORST_FIRST = (*_FAILED, ModelState.DOWNLOADING, ModelState.LOADING, ModelState.PENDING, ModelState.LOADED)


@dataclass(frozen=True)
class Loading:
    """The condition `Loaded`, the counts of replicas behind it, and the current failure."""

    condition: Condition
    replicas: int
    loaded: int
    failure: Failure | None = None


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
        return _loaded_everywhere(loaded, *_note(ready, reports))
    worst = _worst(entry, ready) or _worst(entry, replicas)
    failure = _failure(*worst) if worst and worst[1].state in _FAILED else None
    reason, message = _explanation(name, entry, replicas, worst)
    if 0 < loaded < len(ready):
        message = f"loaded on {loaded} of {len(ready)} replicas; {message}"
    return Loading(Condition(type=LOADED, status="False", reason=reason, message=message), len(ready), loaded, failure)


def _note(replicas: Sequence[Replica], reports: Sequence[ModelReport]) -> tuple[str | None, str | None]:
    """Return the reason and the first sentence of the agents of a loaded model, warnings first; mostly there is none.

    A note is, for instance, that the store does not answer.
    """
    for replica, report in zip(replicas, reports, strict=True):
        if report.warning:
            return REFUSED, f"{replica.name}: {report.warning[:MESSAGE_LIMIT]}"
    for replica, report in zip(replicas, reports, strict=True):
        if report.message:
            return None, f"{replica.name}: {report.message[:MESSAGE_LIMIT]}"
    return None, None


@lru_cache(maxsize=256)  # thousands of models of a host have equal conditions
def _loaded_everywhere(replicas: int, reason: str | None, note: str | None) -> Loading:
    """Return the state of a model that all replicas have."""
    return Loading(condition(LOADED, "True", reason, note), replicas, replicas)


def still_served(entry: Entry, replicas: Sequence[Replica]) -> str:
    """Return the end of a model's message while its previous version answers, else an empty text."""
    reports = (replica.model(entry.model_name, entry.digest) for replica in replicas)
    return STILL_SERVED if any(report is not None and report.serving for report in reports) else ""


def _worst(entry: Entry, replicas: Sequence[Replica]) -> tuple[Replica, ModelReport] | None:
    reports = ((replica, replica.model(entry.model_name, entry.digest)) for replica in replicas)
    unloaded = [
        (replica, report)
        for replica, report in reports
        if report is not None and replica.loaded(entry.model_name, entry.digest) is None
    ]
    return min(unloaded, key=lambda each: _WORST_FIRST.index(each[1].state), default=None)


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
    if report.state in _FAILED:
        retry = f", next try at {report.next_try}" if report.next_try else ""
        return f"{replica.name}: {report.message} (attempt {report.attempt}{retry}){ending}"
    note = f": {report.message}" if report.message else ""
    return f"{replica.name}: {report.state.lower()}{_progress(report)}{note}{ending}"


def _progress(report: ModelReport) -> str:
    """Return the progress of a download, with the figures that the agent reports."""
    if report.state != ModelState.DOWNLOADING or report.bytes is None:
        return ""
    if not report.bytes_total:
        return f" ({report.bytes // _MIB:,} MiB so far)"
    percent = min(100 * report.bytes // report.bytes_total, 100)
    return f" {percent} % ({report.bytes // _MIB:,} of {-(-report.bytes_total // _MIB):,} MiB)"


def _failure(replica: Replica, report: ModelReport) -> Failure:
    return Failure(
        pod=replica.name,
        reason=report.state,
        message=report.message,
        attempt=report.attempt,
        next_try=report.next_try,
    )
