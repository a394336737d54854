"""Counts of models by host and state, and the times from apply to ready, kept up with each change of the store.

A scrape of the metrics then reads a few numbers for each host, and no model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.clock import utc_now
from manyserve.plan.status.model_state import CountedState, StateOfModel, state_of

Outcome = Callable[[CountedState, float], None]
"""Called with `ready` or `failed`, and the seconds since the spec of the model was applied."""


def ignore_outcome(_state: CountedState, _seconds: float) -> None:
    """Do nothing: the listener of counts without one."""


@dataclass
class _Applied:
    """A spec that is not ready yet."""

    since: datetime
    has_failed: bool = False


class ModelCounts:
    """Counts of the models in the cluster state. A change is a removal and an addition.

    The time of a model that waits for its host, for memory or for a claim begins when the wait ends.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self.on_outcome: Outcome = ignore_outcome
        self._now = now
        self._counts: defaultdict[Key, Counter[StateOfModel]] = defaultdict(Counter)
        self._applied: dict[str, _Applied] = {}
        """By uid."""
        self._removed: tuple[TrainedModel | None, _Applied | None] = None, None
        """The model that was removed last, which may be the earlier version of the next one."""

    @property
    def by_host(self) -> Mapping[Key, Mapping[StateOfModel, int]]:
        """The counts by host; a host need not exist."""
        return self._counts

    def remove(self, host: Key, model: TrainedModel | None) -> None:
        """Count a model of a host no more."""
        self._removed = None, None
        if model is None:
            return
        applied, state = self._applied.pop(model.metadata.uid, None), state_of(model)
        if applied is not None and state.state is CountedState.WAITING:
            applied.since = self._now()
        self._removed, counts = (model, applied), self._counts[host]
        counts[state] -= 1
        if not counts[state]:
            del counts[state]
        if not counts:
            del self._counts[host]

    def add(self, host: Key, model: TrainedModel) -> None:
        """Count a model of a host."""
        state = state_of(model)
        self._counts[host][state] += 1
        applied = self._applied_since(model)
        if applied is not None and not self._has_ended(applied, state.state):
            self._applied[model.metadata.uid] = applied

    def _applied_since(self, model: TrainedModel) -> _Applied | None:
        """Return the time of the apply of a spec that was not ready yet.

        A model with a status at the first sight may have been ready before, so its time is unknown.
        """
        meta, (before, applied) = model.metadata, self._removed
        if before is not None and before.metadata.uid == meta.uid:
            return applied if before.metadata.generation == meta.generation else _Applied(self._now())
        if model.status.observed_generation is not None and model.status.observed_uid == meta.uid:
            return None
        return _Applied(_time_of(meta.creation_timestamp) or self._now())

    def _has_ended(self, applied: _Applied, state: CountedState) -> bool:
        """Report an outcome, and return whether the spec is ready."""
        if state is CountedState.READY or (state is CountedState.FAILED and not applied.has_failed):
            self.on_outcome(state, max((self._now() - applied.since).total_seconds(), 0.0))
        applied.has_failed |= state is CountedState.FAILED
        return state is CountedState.READY


def _time_of(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
