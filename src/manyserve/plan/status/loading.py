"""Roll-up of a placed model's state on all replicas into the condition `Loaded`.

`Loaded` is True when every ready replica, and at least one, has the model loaded. Otherwise the condition has the worst
state of any replica: a failure before a download, a download before a wait. Of equal states it has the first by name,
so that the progress of many replicas changes one message. A sentence is added while an earlier version answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.conditions import LOADED, Condition, condition
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import Failure
from manyserve.plan.pods import Replica

_MIB = 1024**2
STILL_SERVED = "; the version before still answers"
_FAILED = (ModelState.DOWNLOAD_FAILED, ModelState.LOAD_FAILED)
_WORST_FIRST = (*_FAILED, ModelState.DOWNLOADING, ModelState.LOADING, ModelState.PENDING, ModelState.LOADED)


@dataclass(frozen=True)
class Loading:
    """The condition `Loaded`, the counts behind it, and the last failure while it lasts."""

    condition: Condition
    replicas: int
    loaded: int
    failure: Failure | None = None


def not_placed(replicas: Sequence[Replica], why: str) -> Loading:
    """Return the state of a model that is not on the host."""
    count = sum(replica.ready for replica in replicas)
    return Loading(Condition(type=LOADED, status="False", reason=ModelState.PENDING, message=why), count, 0)


def roll_up(host: str, entry: Entry, replicas: Sequence[Replica]) -> Loading:
    """Return the state of a placed model."""
    ready = [replica for replica in replicas if replica.ready]
    said_of = [(replica, replica.loaded(entry.model_name, entry.digest)) for replica in ready]
    loaded = sum([said is not None for _, said in said_of])
    if ready and loaded == len(ready):
        note = next((f"{replica.name}: {said.message}" for replica, said in said_of if said and said.message), None)
        return _everywhere(len(ready), note)
    said = _worst(entry, ready) or _worst(entry, replicas)
    failure = _failure(*said) if said and said[1].state in _FAILED else None
    reason, message = _why(host, entry, replicas, said)
    if 0 < loaded < len(ready):
        message = f"loaded on {loaded} of {len(ready)} replicas; {message}"
    return Loading(Condition(type=LOADED, status="False", reason=reason, message=message), len(ready), loaded, failure)


@lru_cache(maxsize=256)  # thousands of models of a host say the same
def _everywhere(replicas: int, note: str | None) -> Loading:
    """Return the state of a model that every replica has; agents may note something, as that a store was not there."""
    return Loading(condition(LOADED, "True", message=note), replicas, replicas)


def still_served(entry: Entry, replicas: Sequence[Replica]) -> str:
    """Return the end of a sentence about a model of which an earlier version answers; empty when none does."""
    said = (replica.model(entry.model_name, entry.digest) for replica in replicas)
    return STILL_SERVED if any(report is not None and report.serving for report in said) else ""


def _worst(entry: Entry, replicas: Sequence[Replica]) -> tuple[Replica, ModelReport] | None:
    said = ((replica, replica.model(entry.model_name, entry.digest)) for replica in replicas)
    unloaded = [
        (replica, report)
        for replica, report in said
        if report is not None and replica.loaded(entry.model_name, entry.digest) is None
    ]
    return min(unloaded, key=lambda each: _WORST_FIRST.index(each[1].state), default=None)


def _why(
    host: str, entry: Entry, replicas: Sequence[Replica], said: tuple[Replica, ModelReport] | None
) -> tuple[str, str]:
    silent = next((each for each in replicas if each.ready and each.report is None), None)
    if said is not None:
        replica, report = said
        if replica.report and not replica.report.server_ready:
            return ModelState.LOADING, f"{replica.name}: the model server does not answer"
        return report.state, _sentence(replica, report)
    if silent is not None:
        return ModelState.PENDING, f"{silent.name}: the agent does not answer"
    for replica in replicas:
        error = replica.report and replica.report.config_error
        if error and replica.loaded(entry.model_name, entry.digest) is None:
            return ModelState.PENDING, f"{replica.name}: {error}"
    ready = [replica for replica in replicas if replica.ready]
    if not ready:
        return ModelState.PENDING, f"no replica of {host} is ready"
    unread = sum(replica.loaded(entry.model_name, entry.digest) is None for replica in ready)
    return (
        ModelState.PENDING,
        f"placed on {host}; waiting for {unread} of {len(ready)} pods to read the new models.json",
    )


def _sentence(replica: Replica, report: ModelReport) -> str:
    before = STILL_SERVED if report.serving else ""
    if report.state in _FAILED:
        again = f", next try at {report.next_try}" if report.next_try else ""
        return f"{replica.name}: {report.message} (attempt {report.attempt}{again}){before}"
    waits = f": {report.message}" if report.message else ""
    return f"{replica.name}: {report.state.lower()}{_progress(report)}{waits}{before}"


def _progress(report: ModelReport) -> str:
    """Return how far a download is, as far as the agent says."""
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
