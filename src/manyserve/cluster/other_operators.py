"""Hosts of other operators: this one plans nothing for them, and so writes nothing to them and their models.

Two releases may have the same namespaces in scope. The first status of a host names the operator that manages it, by
its Lease. The status is written at a resourceVersion, so that one of two operators is named. A host without the field
is free: `kubectl patch --subresource=status` removes it, and the setting `take_over` names an operator that is gone.
"""

from __future__ import annotations

import logging

from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.store import Manifest
from manyserve.redaction import one_line

OTHER_OPERATOR = "OtherOperator"
LONGEST_NAME = 320
"""Characters of a namespace and a name of a Lease that are logged."""
_log = logging.getLogger(__name__)


class OtherOperators:
    """Hosts that other operators manage, also those that are gone, while models of them are left.

    Parameters
    ----------
    own
        This operator: namespace/name of its Lease. Empty: all hosts are its own.
    take_over
        Another operator that is gone: its hosts are taken over.
    """

    def __init__(self, own: str = "", take_over: str = "") -> None:
        self.own = own
        self._take_over = take_over
        self._uids: dict[Key, str] = {}
        """Uids of the hosts of others, also of deleted ones."""
        self.hosts: dict[Key, str] = {}
        """The operators of the hosts that exist."""

    def update_host(self, key: Key, host: Manifest | None) -> bool:
        """Record a change of a host, and return whether another operator manages it."""
        before, other = self.hosts.pop(key, None), self._other(host)
        if other is not None and host is not None:
            self.hosts[key], self._uids[key] = other, host["metadata"]["uid"]
            if before != other:
                _log.warning("%s is managed by the operator %s; nothing of it is written", key, other)
        elif host is not None:
            self._uids.pop(key, None)
        return other is not None

    def manage(self, key: Key, models: tuple[TrainedModel, ...]) -> bool:
        """Return whether another operator manages a host, or managed a deleted one that placed these models."""
        if key in self.hosts:
            return True
        uid = self._uids.get(key)
        if uid is None:
            return False
        if any(model.status.placed_by is not None and model.status.placed_by.uid == uid for model in models):
            return True
        del self._uids[key]
        return False

    def _other(self, host: Manifest | None) -> str | None:
        status = host.get("status") if host is not None else None
        mark = status.get("operator") if isinstance(status, dict) else None
        if not self.own or not isinstance(mark, str) or mark in ("", self.own, self._take_over):
            return None
        return one_line(mark, LONGEST_NAME)
