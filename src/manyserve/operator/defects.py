"""Defects: an unexpected exception of one reconcile is shown in the status of its host, and concerns no other host.

The ID is a hash of the places in the source that the exception came through. A retry with the same defect has the same
ID, and writes nothing. The workqueue logs the exception with the ID, and retries with backoff.
"""

from __future__ import annotations

import hashlib
import logging
import traceback
from collections.abc import Callable
from datetime import datetime

from manyserve.api.names import Key
from manyserve.cluster.errors import ClusterError
from manyserve.cluster.informer import InformerOf
from manyserve.cluster.state import ClusterState
from manyserve.operator.workqueue import Reconcile, Result
from manyserve.plan.status.internal_error import internal_error, internal_error_status
from manyserve.plan.status.updates import host_update

_log = logging.getLogger(__name__)


class InternalError(Exception):
    """A reconcile failed by a defect. The message has the ID."""


class Defects:
    """Shows defects of reconciles in the statuses of their hosts."""

    def __init__(self, state: ClusterState, informer_of: InformerOf, now: Callable[[], datetime]) -> None:
        self._state = state
        self._informer_of = informer_of
        self._now = now

    def shown(self, reconcile: Reconcile) -> Reconcile:
        """Return a reconcile that shows an unexpected exception in the host's status, and raises `InternalError`."""

        async def run(key: Key) -> Result:
            try:
                return await reconcile(key)
            except ClusterError:
                raise
            except Exception as error:
                identifier = identifier_of(error)
                await self._show(key, identifier)
                raise InternalError(internal_error(identifier)) from error

        return run

    async def _show(self, key: Key, identifier: str) -> None:
        try:
            host = self._state.hosts.get(key)
            updates = host_update(host, internal_error_status(host, identifier, self._now())) if host else ()
            for update in updates:
                informer = self._informer_of(update.kind, key.namespace)
                await informer.merge_patch(key, {"status": update.patch}, subresource="status")
        except ClusterError as error:
            _log.warning("%s: the status of %s is not written: %s", key, internal_error(identifier), error)
        except Exception:  # noqa: BLE001  the status itself may be the input of the defect
            _log.exception("%s: the status of %s is not written", key, internal_error(identifier))


def identifier_of(error: BaseException) -> str:
    """Return the ID of a defect: eight digits that depend on the type of the exception and its places in the source."""
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.name}:{frame.lineno}" for frame in _frames(error)]
    return hashlib.sha256("|".join((type(error).__name__, *places)).encode()).hexdigest()[:8]


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__))[1:]  # the first one is `run` above
