"""Removals: models that are no longer desired, and the times since which they wait for their unload.

An unload that takes longer than `unload_seconds` is overdue. The server may be down, hang, or refuse it. The files
then go without it: they belong to no desired model, and a process that has them open keeps them open.
"""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.agent.reconcile import ABSENT, HELD, Observed
from manyserve.agent.retry import Stage


class Removals:
    """The removals under way of one agent."""

    def __init__(self) -> None:
        self.pending: Mapping[str, float] = {}
        """Monotonic time of the first pass without each model among the desired ones."""
        self.cleared: set[str] = set()
        """Models with deleted files, and perhaps an empty folder."""
        self._late: frozenset[str] = frozenset()

    @property
    def overdue(self) -> frozenset[str]:
        """The models with an overdue unload, and with files."""
        return self._late - self.cleared

    def update(self, observed: Observed, now: float, seconds: float) -> None:
        """Compare the desired models with the disk and the index."""
        held = (name for name in (observed.index or {}).keys() - observed.desired.keys() if _is_held(name, observed))
        leaving = {*(observed.disk.keys() - observed.desired.keys()), *held}
        self.pending = {name: self.pending.get(name, now) for name in sorted(leaving)}
        self.cleared &= leaving
        self._late = frozenset(name for name, since in self.pending.items() if now - since >= seconds)

    def not_unloaded(self, observed: Observed) -> dict[str, str]:
        """Return the reason by name, for each model that the server holds despite a failed or overdue unload."""
        held = (name for name in self.pending if _is_held(name, observed))
        return {name: reason for name in held if (reason := self._reason(name, observed))}

    def _reason(self, name: str, observed: Observed) -> str:
        retry = observed.retries.get(name)
        if retry and retry.failed is Stage.REMOVE:
            return retry.message
        state = (observed.index or {}).get(name, ABSENT).state
        return f"the model server says {state}" if name in self._late else ""


def _is_held(name: str, observed: Observed) -> bool:
    return (observed.index or {}).get(name, ABSENT).state in HELD
