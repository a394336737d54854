"""Records of departed hosts that still have models, by host name. They are kept in memory only.

A record begins when the cache first lacks the host. It ends when a host has the name again, or no model of the old host
is left. A restart forgets all records, so that every grace period begins anew.
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
"""Finalizer of an object deleted with `--cascade=orphan`, until its dependents have lost their owner reference."""


class Departures:
    """Departures by the name of the host, and within a name by uid.

    Parameters
    ----------
    clock
        Seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._present: dict[Key, str] = {}
        """Uids of the hosts that exist; hosts that do not parse count, too."""
        self._orphaning: dict[Key, str] = {}
        """Uids of the hosts that were last seen with the finalizer `orphan` while they were being deleted."""
        self._records: dict[Key, dict[str, Departure]] = {}

    def update_host(self, key: Key, new: Manifest | None) -> None:
        """Record a change of a host: `new` is None when it was deleted."""
        if new is None:
            self._present.pop(key, None)
            return
        metadata, before = new["metadata"], self._records.get(key, {})
        self._present[key] = metadata["uid"]
        self._set_records(key, follow(before, before.keys(), metadata["uid"], self._clock()))
        if metadata.get("deletionTimestamp") and ORPHAN in (metadata.get("finalizers") or ()):
            self._orphaning[key] = metadata["uid"]

    def of(self, key: Key, models: Iterable[TrainedModel]) -> Mapping[str, Departure]:
        """Return the departures of a host name, given the models that name it."""
        present, before = self._present.get(key), self._records.get(key, {})
        if present is not None and not before:
            return {}
        uids = {uid for model in models if (uid := host_uid(model)) is not None}
        records = follow(before, uids, present, self._clock())
        orphan = self._orphaning.get(key)
        if orphan in records:
            records[orphan] = replace(records[orphan], kept=True)
        self._set_records(key, records)
        return records

    def decide(self, key: Key, uid: str) -> None:
        """Record that the API server has confirmed that the host is gone, and that a burst of deletions begins."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], decided=True, last_burst=self._clock())}

    def keep_models(self, key: Key, uid: str) -> None:
        """Record that the models of a departed host stay."""
        before = self._records.get(key, {})
        if uid in before:
            self._records[key] = before | {uid: replace(before[uid], kept=True)}

    def _set_records(self, key: Key, records: dict[str, Departure]) -> None:
        if records:
            self._records[key] = records
        else:
            self._records.pop(key, None)
            if key not in self._present:
                self._orphaning.pop(key, None)
