"""How far a placed model is: what the agents of all replicas say, rolled up into one condition.

`Loaded` is True when every ready replica, and at least one, has the model loaded. Else the worst that any
replica says is told: a failure before a download, a download before a wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.conditions import LOADED, Condition
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import Failure
from manyserve.plan.pods import Replica

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
    loaded = sum(replica.has_loaded(entry.model_name, entry.digest) for replica in ready)
    said = _worst(entry, ready) or _worst(entry, replicas)
    failure = _failure(*said) if said and said[1].state in _FAILED else None
    if ready and loaded == len(ready):
        return Loading(Condition(type=LOADED, status="True"), len(ready), loaded, None)
    reason, message = _why(host, entry, replicas, said)
    if 0 < loaded < len(ready):
        message = f"loaded on {loaded} of {len(ready)} replicas; {message}"
    return Loading(Condition(type=LOADED, status="False", reason=reason, message=message), len(ready), loaded, failure)


def _worst(entry: Entry, replicas: Sequence[Replica]) -> tuple[Replica, ModelReport] | None:
    said = ((replica, replica.model(entry.model_name, entry.digest)) for replica in replicas)
    unloaded = [
        (replica, report)
        for replica, report in said
        if report is not None and not replica.has_loaded(entry.model_name, entry.digest)
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
    if not any(replica.ready for replica in replicas):
        return ModelState.PENDING, f"no replica of {host} is ready"
    return ModelState.PENDING, f"placed on {host}; not every agent has seen {entry.model_name} yet"


def _sentence(replica: Replica, report: ModelReport) -> str:
    if report.state not in _FAILED:
        return f"{replica.name}: {report.state.lower()}"
    again = f", next try at {report.next_try}" if report.next_try else ""
    return f"{replica.name}: {report.message} (attempt {report.attempt}{again})"


def _failure(replica: Replica, report: ModelReport) -> Failure:
    return Failure(
        pod=replica.name,
        reason=report.state,
        message=report.message,
        attempt=report.attempt,
        next_try=report.next_try,
    )
