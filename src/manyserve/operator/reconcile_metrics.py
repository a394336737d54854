"""Metrics of reconciles: results, durations, and the reconciles that run now."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from manyserve.api.names import Key
from manyserve.cluster.errors import ClusterError
from manyserve.operator import metrics
from manyserve.operator.workqueue import Reconcile, Result


class ReconcileMetrics:
    """Measures the reconciles of one queue."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: dict[int, float] = {}
        self._numbers = count()

    def measured(self, reconcile: Reconcile) -> Reconcile:
        """Return a reconcile that is counted and timed."""

        async def run(key: Key) -> Result:
            number = next(self._numbers)
            began = self._began[number] = self._clock()
            try:
                result = await reconcile(key)
            except ClusterError:
                _count("error", self._clock() - began)
                raise
            except Exception:
                metrics.RECONCILE_PANICS.inc()
                _count("error", self._clock() - began)
                raise
            finally:
                del self._began[number]
            _count("success" if result.requeue_after is None else "requeue_after", self._clock() - began)
            return result

        return run

    def unfinished(self) -> float:
        """Return the sum of the seconds for which reconciles run."""
        return sum(self._running())

    def longest(self) -> float:
        """Return the seconds for which the oldest reconcile runs."""
        return max(self._running(), default=0.0)

    def _running(self) -> list[float]:
        now = self._clock()
        return [now - began for began in self._began.values()]


def _count(result: str, seconds: float) -> None:
    """Count the result of a reconcile. One that failed is tried again."""
    metrics.RECONCILES.labels(metrics.CONTROLLER, result).inc()
    metrics.RECONCILE_SECONDS.observe(seconds)
    metrics.WORK_SECONDS.observe(seconds)
    if result == "error":
        metrics.RECONCILE_ERRORS.inc()
        metrics.QUEUE_RETRIES.inc()
