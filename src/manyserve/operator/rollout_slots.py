"""Slots of the staged roll-outs of hosts: which hosts have begun and which wait, from plan to plan.

`decide` wraps the plan of a host, and keeps its turn. A host that has begun holds its slot until its Deployments are
settled. The hosts that wait are enqueued when a slot gets free, or when one of them withdraws. A new leader finds the
hosts that have begun by an annotation of their Deployments.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from manyserve.api.names import ROLLOUT_BEGAN, Key
from manyserve.api.servingconfig import RolloutConfig
from manyserve.cluster.state import ClusterState
from manyserve.plan.actions import Plan
from manyserve.plan.children.deployment import is_settled
from manyserve.plan.children.staged import annotations_of
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.plan import plan
from manyserve.plan.staging import REFUSED, Rollouts, Turn


class RolloutSlots:
    """Hosts that have begun, and hosts that wait. It is locked, since large hosts are planned in a thread."""

    def __init__(self, state: ClusterState, enqueue: Callable[[Key], None]) -> None:
        self._state = state
        self._enqueue = enqueue
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun: dict[Key, datetime] = {}
        self._waiting: dict[Key, datetime] = {}
        self._unwritten: set[Key] = set()
        """Hosts that have begun, and the last plan of which still changes a Deployment."""
        self._is_free = False
        """A host has left its slot or the line, and those that wait do not know it yet."""

    def open(self, now: datetime) -> None:
        """Begin anew, for a new leader, in the running event loop."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            self._waiting, self._unwritten, self._is_free = {}, set(), False
            self._begun = {host: min(since, now) for host, since in self._under_way()}

    def decide(self, observed: Observed, now: datetime) -> Plan:
        """Return the plan of a host, with its turn; again if another host has taken the slot meanwhile."""
        limits = observed.config.rollout
        while True:
            planned = plan(replace(observed, rollouts=self._rollouts(observed)), now)
            with self._lock:
                is_kept = self._keep(observed.key, planned.turn, now, limits)
            if is_kept:
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self.update, observed.key)
                return planned

    def update(self, host: Key) -> None:
        """Free the slot of a host that is gone, or has settled with its new template, and enqueue those that wait.

        A host that waits although it has begun stays known: it goes last if its Deployment was refused.
        """
        with self._lock:
            is_gone = host not in self._state.hosts
            if is_gone:
                self._unwritten.discard(host)
                self._is_free |= self._waiting.pop(host, None) is not None
            is_written = host not in self._unwritten and host not in self._waiting
            if host in self._begun and is_written and (is_gone or self._is_settled(host)):
                del self._begun[host]
                self._is_free = True
            free, self._is_free = sorted(self._waiting) if self._is_free else (), False
        for each in free:
            self._enqueue(each)

    def _rollouts(self, observed: Observed) -> Rollouts:
        """Return the roll-outs for a plan; a host with a refused Deployment has lost its slot."""
        with self._lock:
            if observed.key in self._unwritten and any(each.kind == "Deployment" for each in observed.failures):
                self._begun[observed.key] = REFUSED
            return Rollouts(dict(self._begun), dict(self._waiting))

    def _keep(self, host: Key, turn: Turn | None, now: datetime, limits: RolloutConfig) -> bool:
        """Keep the turn of a host. Return False when it may not begin any more, and must be planned again."""
        rollouts = Rollouts(self._begun, self._waiting)
        begins = turn is not None and turn.after is None
        if begins and rollouts.after(host, now, limits) is not None:
            return False
        has_waited, had_slot = self._waiting.pop(host, None) is not None, host in self._unwritten
        self._unwritten.discard(host)
        self._is_free |= has_waited if turn is None else had_slot and not begins
        if begins:
            self._unwritten.add(host)
            if not rollouts.has_slot(host, now, limits):
                self._begun[host] = now
        elif turn is not None:
            self._waiting[host] = now
        return True

    def _under_way(self) -> Iterator[tuple[Key, datetime]]:
        """Yield the hosts that have begun and are not settled, with the time of the annotation."""
        for host in self._state.hosts:
            times = [began for each in self._deployments(host) if (began := _began(each)) is not None]
            if times and not self._is_settled(host):
                yield host, max(times)

    def _is_settled(self, host: Key) -> bool:
        return all(map(is_settled, self._deployments(host)))

    def _deployments(self, host: Key) -> list[Manifest]:
        children = self._state.children.get(host, {})
        return [manifest for child, manifest in children.items() if child.kind == "Deployment"]


def _began(deployment: Manifest) -> datetime | None:
    """Return the time at which a roll-out by the operator began, or None without a valid annotation."""
    try:
        began = datetime.fromisoformat(annotations_of(deployment).get(ROLLOUT_BEGAN, ""))
    except ValueError:
        return None
    return began if began.tzinfo else None
