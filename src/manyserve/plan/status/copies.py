"""Aggregation of a model's copies on a heterogeneous host into the condition `Loaded`.

`Loaded` is True while at least one copy answers with the desired version. The message then explains the copies that do
not, and has no progress in percent, so that a Ready model is written when a copy changes its state. While no copy
answers, the worst copy gives the reason: a failure before a download, a download before a wait. Of equal states it is
the one on the lowest shard.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.conditions import LOADED, condition
from manyserve.api.modelconfig import Entry
from manyserve.api.trainedmodel import Failure
from manyserve.plan.pods import Replica
from manyserve.plan.sharding.shard import shard_names
from manyserve.plan.status.loading import (
    FAILED,
    STILL_SERVED,
    WORST_FIRST,
    Loading,
    error_of,
    failure_of,
    note_of,
    progress_of,
    still_served,
    worst_report,
)


def copies_that_answer(
    name: str,
    entries: Mapping[int, Entry],
    replicas: Mapping[int, Sequence[Replica]],
    led: Container[str] | None = None,
) -> tuple[int, ...]:
    """Return the shards with a copy that answers: it is loaded on a ready pod, and routers lead requests to the model.

    Parameters
    ----------
    entries
        Entries of the model by shard.
    replicas
        Replicas by shard.
    led
        Models to which the routers lead requests; None: all.
    """
    if led is not None and name not in led:
        return ()
    return tuple(index for index, entry in entries.items() if any(_loaded(entry, replicas.get(index, ()))))


def _loaded(entry: Entry, replicas: Sequence[Replica]) -> Iterator[tuple[Replica, ModelReport]]:
    """Yield the ready replicas that have loaded this version, with their reports."""
    for replica in replicas:
        report = replica.loaded(entry.model_name, entry.digest) if replica.ready else None
        if report is not None:
            yield replica, report


class _Problem(NamedTuple):
    """A copy that is not loaded; the lowest one is the worst."""

    rank: int
    shard: int
    state: ModelState
    brief: str
    """The sentence without progress."""
    full: str
    failure: Failure | None


@dataclass(frozen=True)
class Copies:
    """The copies of one model."""

    name: str
    host: str
    entries: Mapping[int, Entry]
    """Entries by shard."""
    wanted: int
    replicas: Mapping[int, Sequence[Replica]]
    """Replicas by shard."""
    newest: str | None = None
    """Digest of the desired version; None when all entries have it."""
    waiting: str | None = None
    """Sentence about the copies that are not placed."""
    limited: str | None = None
    """Sentence about a host that has fewer pods than the model shall have copies."""
    led: Container[str] | None = None
    """Models to which the routers lead requests; None: all."""

    @cached_property
    def _current(self) -> dict[int, Entry]:
        """Entries of the desired version."""
        return {
            index: each for index, each in self.entries.items() if self.newest is None or each.digest == self.newest
        }

    def loading(self) -> Loading:
        """Return the condition `Loaded`, with the numbers of copies behind it."""
        if not self.entries:
            state = condition(LOADED, "False", ModelState.PENDING, f"not placed on {self.host}")
            return Loading(state, self.wanted, 0)
        current = self._current
        loaded = copies_that_answer(self.name, current, self.replicas)
        problems = sorted(_problem(index, current[index], self._on(index)) for index in current.keys() - {*loaded})
        worst = problems[0] if problems else None
        if copies_that_answer(self.name, current, self.replicas, self.led):
            reason, message = self._beside_answers(loaded, worst)
            state = condition(LOADED, "True", reason, message)
        else:
            state = condition(LOADED, "False", *self._without_answer(loaded, worst))
        failure = worst.failure if worst else None
        return Loading(state, self.wanted, len(loaded), failure, shard_names(self.entries))

    def _on(self, index: int) -> Sequence[Replica]:
        return self.replicas.get(index, ())

    def _beside_answers(self, loaded: Sequence[int], worst: _Problem | None) -> tuple[str | None, str | None]:
        """Return the reason and the message of a model that answers; mostly there is none."""
        reason, note = note_of(each for index in loaded for each in _loaded(self.entries[index], self._on(index)))
        is_short = len(loaded) < self.wanted
        failed = worst if worst is not None and worst.failure is not None else None
        shown = worst if is_short else failed
        sentences = (
            f"loaded on {len(loaded)} of {copies_text(self.wanted)}" if is_short else None,
            shown and shown.brief,
            self.waiting and f"{copies_text(max(self.wanted - len(self._current), 1))} not placed: {self.waiting}",
            _surplus(len(self.entries), self.wanted),
            self.limited,
            note,
        )
        return failed.state if failed else reason, "; ".join(filter(None, sentences)) or None

    def _without_answer(self, loaded: Sequence[int], worst: _Problem | None) -> tuple[str, str]:
        """Return the reason and the message of a model that does not answer."""
        if loaded:
            lead = f"loaded on {len(loaded)} of {copies_text(self.wanted)}"
            return ModelState.PENDING, f"{lead}; not all routers lead requests to it yet"
        state, text = (worst.state, worst.full) if worst else (ModelState.PENDING, "the new version is not placed")
        return state, f"{text}{self._previous()}"

    def _previous(self) -> str:
        """Return the end of the message while a copy of an earlier version answers."""
        outdated = {index: each for index, each in self.entries.items() if index not in self._current}
        if copies_that_answer(self.name, outdated, self.replicas):
            return STILL_SERVED
        return next(filter(None, (still_served(each, self._on(index)) for index, each in self.entries.items())), "")


def _problem(index: int, entry: Entry, replicas: Sequence[Replica]) -> _Problem:
    """Return the problem of a copy that is not loaded."""
    ready = [each for each in replicas if each.ready]
    found = worst_report(entry, ready) or worst_report(entry, replicas)
    if found is None:
        text = f"{shard_names((index,))}: {_without_report(replicas, ready)}"
        return _Problem(WORST_FIRST.index(ModelState.PENDING), index, ModelState.PENDING, text, text, None)
    replica, report = found
    state, brief, full = _of_report(shard_names((index,)), replica, report)
    return _Problem(WORST_FIRST.index(state), index, state, brief, full, failure_of(replica, report))


def _of_report(shard: str, replica: Replica, report: ModelReport) -> tuple[ModelState, str, str]:
    """Return the state of a copy, and the sentences about it without progress and with it."""
    if replica.report is not None and not replica.report.server_ready:
        text = f"{shard}: the model server does not answer"
        return ModelState.LOADING, text, text
    if report.state in FAILED:
        text = f"fails on {shard}: {error_of(report)}"
        return report.state, text, text
    brief = f"{shard}: {report.state.lower()}"
    return report.state, brief, f"{brief}{progress_of(report)}"


def _without_report(replicas: Sequence[Replica], ready: Sequence[Replica]) -> str:
    """Return the reason for which no replica of a shard reports on the model."""
    if not ready:
        return "no pod is ready"
    if any(each.report is None for each in ready):
        return "the agent does not answer"
    errors = (each.report.config_error for each in replicas if each.report is not None)
    return next(filter(None, errors), "waits until the pod has read the new models.json")


def _surplus(placed: int, wanted: int) -> str | None:
    if placed <= wanted:
        return None
    others = "1 other is" if wanted == 1 else f"{wanted} others are"
    return f"{copies_text(placed - wanted)} more than needed, to be removed when {others} routed"


def copies_text(count: int) -> str:
    """Return a number of copies in words."""
    return "1 copy" if count == 1 else f"{count} copies"
