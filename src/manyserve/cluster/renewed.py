"""Models whose spec was seen to change, and since when they have not been told about the newest one.

What they were before answers on meanwhile; not so on a host that a model has left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.clock import utc_now


class Renewed:
    """The models by host and name; one that was first heard of in its newest form is not known to be renewed."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._since: defaultdict[Key, dict[str, datetime]] = defaultdict(dict)

    def of(self, host: Key) -> dict[str, datetime]:
        """Return since when each renewed model of a host is that."""
        return dict(self._since.get(host, {}))

    def stored(self, old: TrainedModel | None, new: TrainedModel | None) -> None:
        """Take in a change of a model."""
        since = self._remove(_host(old), old.metadata.name) if old else None
        if old is None or new is None or new.status.observed_generation == new.metadata.generation:
            return
        if _host(old) != _host(new):
            return
        if since is not None or old.metadata.generation != new.metadata.generation:
            self._since[_host(new)][new.metadata.name] = since or self._now()

    def _remove(self, host: Key, name: str) -> datetime | None:
        since = self._since[host].pop(name, None)
        if not self._since[host]:
            del self._since[host]
        return since


def _host(model: TrainedModel) -> Key:
    return Key(model.metadata.namespace, model.spec.inference_service)
