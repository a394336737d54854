"""Hosts that are gone while models of theirs are left: a record by host name, kept in memory.

A record begins when the host is first seen to be gone, and ends when a host has the name again or no model of the old
one is left. A restart forgets all records, so that every grace period begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.store import Manifest
from manyserve.plan.departure import follow, host_uid
from manyserve.plan.observed import Departure

ORPHAN = "orphan"
"""The finalizer of an object that is deleted with `--cascade=orphan`, until its dependents have lost their owner."""


class Departures:
    """Departures by the name of the host, and within it by uid.

    Parameters
    ----------
    clock
        Seconds of a clock that only goes forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._present: dict[Key, str] = {}
        """The uids of the hosts that are there, in whatever form."""
        self._orphaning: dict[Key, str] = {}
        """The uids of the hosts that were last seen with the finalizer `orphan` while they were being deleted."""
        self._records: dict[Key, dict[str, Departure]] = {}

    def host_stored(self, key: Key, new: Manifest | None) -> None:
        """Take in a change of a host."""
        if new is None:
            self._present.pop(key, None)
            return
        metadata, before = new["metadata"], self._records.get(key, {})
        self._present[key] = metadata["uid"]
        self._remember(key, follow(before, before.keys(), metadata["uid"], self._clock()))
        if metadata.get("deletionTimestamp") and ORPHAN in (metadata.get("finalizers") or ()):
            self._orphaning[key] = metadata["uid"]

    def of(self, key: Key, models: Iterable[TrainedModel]) -> Mapping[str, Departure]:
        """Return the departures of a host name, given the models that name it."""
        present, before = self._present.get(key), self._records.get(key, {})
        if present is not None and not before:
            return {}
        uids = {uid for each in models if (uid := host_uid(each)) is not None}
        records = follow(before, uids, present, self._clock())
        orphan = self._orphaning.get(key)
        if orphan in records:
            records[orphan] = replace(records[orphan], kept=True)
        self._remember(key, records)
        return records

    def decide(self, key: Key, uid: str) -> None:
        """Note that the API server has answered that the host is gone, and that models of it are deleted now."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], decided=True, last_burst=self._clock())}

    def keep_models(self, key: Key, uid: str) -> None:
        """Note that the models of a host that is gone stay."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], kept=True)}

    def _remember(self, key: Key, records: dict[str, Departure]) -> None:
        if records:
            self._records[key] = records
        else:
            self._records.pop(key, None)
            if key not in self._present:
                self._orphaning.pop(key, None)
