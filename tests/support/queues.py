"""State of a workqueue that it does not publish."""

from __future__ import annotations

from manyserve.operator.workqueue import WorkQueue


def waiting(queue: WorkQueue) -> int:
    """Return the number of hosts that are due now or later; `len` counts those that are due now."""
    return sum(item.due is not None for item in queue._items.values())
