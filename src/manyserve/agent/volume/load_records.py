"""Records of loads on the volume, from which a restarted agent learns during which loads the server ended.

    LOADING a ─▶ the server loads ─▶ LOADING a removed, ENDED a removed
    LOADING a ─▶ the server ends ─▶ ENDED a, with the number of ends ─▶ LOADING a ─▶ the server loads

A LOADING marker stays until the load has a result. The number of earlier ends is written before the next load begins.
The load of a previous version has no marker: it was loaded before.
"""

from __future__ import annotations

from dataclasses import dataclass

from manyserve.agent.volume.markers import ENDED, LOADING, Marker, MarkerStore


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """A load without a known result, or earlier loads during which the server ended."""

    digest: str
    ends: int = 0
    """Number of earlier loads during which the server ended."""
    under_way: bool = True
    """The load has begun, and its result is not known."""
    of_previous: bool = False
    """The load is that of the previous version."""
    outages: int | None = None
    """Number of outages of the server when its answer did not come in time; None: its connection ended."""


class LoadRecords:
    """The records of one volume. All methods block on the disk."""

    def __init__(self, markers: MarkerStore) -> None:
        self._markers = markers

    def begin(self, name: str, record: LoadRecord) -> None:
        """Record that a load begins, and the number of earlier ends."""
        ended = self._markers.get(name, ENDED)
        if (ended.digest, ended.ends) != (record.digest, record.ends) if ended else record.ends:
            self._markers.remove(name, ENDED)
            if record.ends:
                self._markers.write(name, Marker(ENDED, record.digest, ends=record.ends))
        self._markers.remove(name, LOADING)
        if not record.of_previous:
            self._markers.write(name, Marker(LOADING, record.digest))

    def finish(self, name: str) -> None:
        """Record that the server has answered the load."""
        self._markers.remove(name, LOADING)

    def remove(self, name: str) -> None:
        """Remove the records of a model that is loaded or deleted."""
        self._markers.remove(name, LOADING, ENDED)

    def all(self) -> dict[str, LoadRecord]:
        """Return the records that an earlier agent left, by model."""
        return {name: record for name in self._markers.all() if (record := self._record(name))}

    def _record(self, name: str) -> LoadRecord | None:
        loading, ended = self._markers.get(name, LOADING), self._markers.get(name, ENDED)
        if ended:
            return LoadRecord(ended.digest, ended.ends, loading is not None and loading.digest == ended.digest)
        return LoadRecord(loading.digest) if loading else None
