"""All parts of the operator, put together, started and stopped."""

from __future__ import annotations

from manyserve.cluster.apply import Applier
from manyserve.cluster.client import KubeHttp
from manyserve.cluster.events import Recorder
from manyserve.cluster.informer import Informer
from manyserve.cluster.known import Known
from manyserve.cluster.lookups import Lookups
from manyserve.cluster.watches import Watches
from manyserve.operator import metrics
from manyserve.operator.config import ConfigWatch
from manyserve.operator.health import HealthServer, stale_watches, unsynced, watch_lag
from manyserve.operator.queue import Queue
from manyserve.operator.reconcile import reconciler
from manyserve.operator.replicas import Replicas
from manyserve.operator.resync import resync
from manyserve.operator.settings import OperatorSettings
from manyserve.operator.tasks import Tasks


class Operator:
    """The operator, without its life: that is kopf's, see `handlers`."""

    def __init__(self, client: KubeHttp, settings: OperatorSettings) -> None:
        self._settings = settings
        self._tasks = Tasks()
        self._queue = Queue()
        self._known = known = Known(self._queue.touch)
        self._recorder = Recorder(client)
        self._replicas = Replicas(known, self._queue.touch, port=settings.agent_port)
        self._watches = Watches(client, known, settings.watch_namespace, self._replicas.pod_stored)
        self._lookups = Lookups(client, known.looked, self._queue.touch)
        self._config = ConfigWatch(client, known, self._recorder, settings.namespace)
        self._applier = Applier(client, known, self._watches.by_kind, self._recorder, _count_write)
        self._health = HealthServer(self.why_not_alive, self.why_not_ready)
        metrics.QUEUE.set_function(self._queue.__len__)
        for informer in self._watches:
            metrics.OBJECTS.labels(informer.kind.name).set_function(informer.store.__len__)

    async def listen(self) -> None:
        """Take the ports. Raises `StartupError` when one is in use."""
        await self._health.start(self._settings.health_port, self._settings.metrics_port)

    async def start(self) -> None:
        """Start everything; reconciling begins when everything has been listed."""
        await self._replicas.open()
        for informer in self._informers:
            self._tasks.start(f"watch of {informer.kind.plural}", informer.run())
        self._tasks.start("lookups", self._lookups.run())
        self._tasks.start("events", self._recorder.run())
        self._tasks.start("event loop", watch_lag())
        self._tasks.start("reconcile", self._reconcile())

    async def stop(self) -> None:
        """Stop everything."""
        await self._tasks.stop()
        await self._replicas.close()
        await self._health.stop()

    def why_not_alive(self) -> str | None:
        """Return what is wrong with us, or None."""
        if self._tasks.ended:
            return f"ended: {', '.join(self._tasks.ended)}"
        return stale_watches(self._informers) or (None if self._replicas.healthy else "an agent is not asked any more")

    def why_not_ready(self) -> str | None:
        """Return what is not there yet, or None."""
        if self._known.config is None and self._config.informer.synced.is_set():
            return "inferenceservice-config cannot be used"
        return unsynced(self._informers)

    @property
    def _informers(self) -> tuple[Informer, ...]:
        return (self._config.informer, *self._watches)

    async def _reconcile(self) -> None:
        """Reconcile for ever; never from a picture that is not whole yet, the agents' reports included."""
        await self._config.ready()
        await self._watches.synced()
        await self._replicas.heard()
        self._known.touch_all()
        self._tasks.start("resync", resync(self._known, self._queue))
        await self._queue.serve(reconciler(self._known, self._applier, self._lookups))


def _count_write(kind: str, verb: str) -> None:
    metrics.WRITES.labels(kind, verb).inc()
