"""Staged roll-outs: the hosts that replace their pods now, by a change of the operator's version or configuration.

`rollout.maxHosts` hosts have a slot at a time. A host leaves its slot when its new pods are ready, or after
`rollout.hostTimeout`. The others wait in the order of namespace and name. A host with a refused Deployment goes last.
docs/decisions/0016-staged-rollouts.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from manyserve.api.names import Key
from manyserve.api.servingconfig import RolloutConfig

REFUSED = datetime.min.replace(tzinfo=UTC)
"""Beginning of a roll-out that a refused write has ended: the host has no slot, and goes last."""


class Turn(NamedTuple):
    """Turn of a host with a pod template that the operator's own version or configuration changes."""

    after: Key | None
    """The host that it waits for; None: it begins, or has begun."""


def waits(turn: Turn | None) -> bool:
    """Return whether a host waits for its turn."""
    return turn is not None and turn.after is not None


@dataclass(frozen=True)
class Rollouts:
    """Hosts that have begun, and hosts that wait."""

    begun: Mapping[Key, datetime] = field(default_factory=dict)
    """Hosts that are not ready on their new template yet, by the time at which their roll-out began."""
    waiting: Mapping[Key, datetime] = field(default_factory=dict)
    """By the time of the last plan. A host without a plan for `rollout.hostTimeout` holds up no other."""

    def after(self, host: Key, now: datetime, limits: RolloutConfig) -> Key | None:
        """Return the host that this one waits for, or None if it may begin now."""
        in_slots = self._in_slots(now, limits)
        if host in in_slots:
            return None
        waiting = [each for each in self._recent(self.waiting, now, limits) if each not in in_slots]
        ahead = sorted(place for place in map(self._place, waiting) if place < self._place(host))
        line = [*sorted(in_slots), *(each for _, each in ahead)]
        return line[-limits.max_hosts] if len(line) >= limits.max_hosts else None

    def has_slot(self, host: Key, now: datetime, limits: RolloutConfig) -> bool:
        """Return whether a host has begun, and holds up others."""
        return host in self._in_slots(now, limits)

    def seconds_left(self, now: datetime, limits: RolloutConfig) -> float | None:
        """Return the seconds until time alone lets another host begin, or None."""
        ages = [(now - since).total_seconds() for since in (*self.begun.values(), *self.waiting.values())]
        return min((limits.host_seconds - age for age in ages if age < limits.host_seconds), default=None)

    def _in_slots(self, now: datetime, limits: RolloutConfig) -> set[Key]:
        return self._recent(self.begun, now, limits)

    def _place(self, host: Key) -> tuple[bool, Key]:
        """Return the place of a host that waits: those with a refused Deployment are last.

        A host that did not become ready in its time keeps its place: the next template may be the correction.
        """
        return self.begun.get(host) == REFUSED, host

    @staticmethod
    def _recent(times: Mapping[Key, datetime], now: datetime, limits: RolloutConfig) -> set[Key]:
        return {host for host, at in times.items() if (now - at).total_seconds() < limits.host_seconds}
