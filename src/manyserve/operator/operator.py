"""The operator: all parts, wired, started and stopped.

Every replica watches, so its caches are warm. Reconciles, polls of agents and Events run on the leader only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from manyserve.api.names import Key
from manyserve.cluster.apply import Applier
from manyserve.cluster.client import KubeClient
from manyserve.cluster.crd_guard import CrdGuard, Work
from manyserve.cluster.departures import MODEL_DELETED
from manyserve.cluster.events import EventRecorder
from manyserve.cluster.informer import Informer
from manyserve.cluster.informers import Informers
from manyserve.cluster.limiter import Limiter
from manyserve.cluster.metadata_poller import MetadataPoller
from manyserve.cluster.other_operators import OTHER_OPERATOR, OtherOperators
from manyserve.cluster.state import ClusterState
from manyserve.cluster.status_writer import StatusWriter
from manyserve.operator import metrics
from manyserve.operator.agent_poller import AgentPoller
from manyserve.operator.autoscaler import Autoscaler
from manyserve.operator.debounce import Debouncer
from manyserve.operator.defects import Defects
from manyserve.operator.health import HealthServer, stale_watches, stuck_election, unsynced, watch_lag
from manyserve.operator.host_metrics import host_figures
from manyserve.operator.leader_election import LeaderElector
from manyserve.operator.reconcile import Planner, Reconciler
from manyserve.operator.reconcile_metrics import ReconcileMetrics
from manyserve.operator.rollout_slots import RolloutSlots
from manyserve.operator.router_poller import RouterPoller
from manyserve.operator.serving_config_watcher import ServingConfigWatcher
from manyserve.operator.settings import OperatorSettings
from manyserve.operator.tasks import Tasks, resync
from manyserve.operator.traffic_poller import TrafficPoller
from manyserve.operator.workqueue import WorkQueue
from manyserve.plan.management import HOST_REASONS, MODEL_REASONS, OUT_OF_SCOPE
from manyserve.plan.status.model_state import CountedState


class Operator:
    """All parts of the operator. kopf starts and stops it, see `main`.

    Parameters
    ----------
    elector
        The leader election; None: this replica always leads.
    guard
        Checks the published CRDs; None: nothing is checked.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: OperatorSettings,
        elector: LeaderElector | None = None,
        guard: CrdGuard | None = None,
    ) -> None:
        self._client = client
        self._guard = guard
        self._settings = settings
        self._elector = elector
        self._tasks = Tasks()
        self._leader_tasks = Tasks()
        self._is_leader = False
        self._reconciles = ReconcileMetrics()
        self._queue = WorkQueue()
        self._debouncer = Debouncer(self._queue)
        self._state = state = ClusterState(self._queue.add, self._debouncer.on_change)
        state.others = OtherOperators(f"{settings.namespace}/{settings.lease}", settings.take_over)
        self._recorder = EventRecorder(client, pause_normal=lambda: self._statuses.busy)
        self._agent_poller = AgentPoller(state, self._queue.add, port=settings.agent_port)
        self._reporting = (self._agent_poller, RouterPoller(state, self._queue.add, port=settings.router_port))
        self._pollers = (*self._reporting, TrafficPoller(state, port=settings.agent_port))
        self._autoscaler = Autoscaler(state, self._queue.add)
        self._slots = RolloutSlots(state, self._queue.add)
        state.on_replicas = self._on_replicas
        policies = settings.network_policies
        self._informers = Informers(client, state, settings.scope, network_policies=policies)
        self._metadata_poller = MetadataPoller(client, state.lookup_results, self._queue.add)
        self._config = ServingConfigWatcher(
            client, state, self._recorder, settings.namespace, network_policies=policies
        )
        limiter, of, count = Limiter(), self._informers.informer_of, self._count_write
        self._statuses = StatusWriter(state, of, limiter, self._recorder, count)
        self._applier = Applier(client, state, of, limiter, self._statuses, count, self._deletion_doubt)
        self._health = HealthServer(self.liveness_problem, self.readiness_problem)
        self._measure()

    async def listen(self) -> None:
        """Bind the ports. Raises `StartupError` when one is in use."""
        await self._health.start(self._settings.health_port, self._settings.metrics_port)

    async def start(self) -> None:
        """Start all tasks. The work begins when everything has been listed, on the leader only."""
        for informer in self._all_informers:
            self._tasks.start(f"watch of {informer.kind.plural}", informer.run())
        if self._guard:
            self._tasks.start("CRD guard", self._guard.run(self._client))
        self._tasks.start("event loop", watch_lag())
        self._tasks.start("work", self._work())

    async def stop(self) -> None:
        """Stop all tasks."""
        await self._tasks.stop()
        await self._health.stop()

    def liveness_problem(self) -> str | None:
        """Return the problem that a restart may solve, or None."""
        ended = [*self._tasks.ended, *self._leader_tasks.ended]
        if ended:
            return f"ended: {', '.join(ended)}"
        stopped = next((each.what for each in self._pollers if not each.healthy), None)
        if stopped is not None:
            return f"{stopped} poller stopped"
        return stale_watches(self._all_informers) or stuck_election(self._elector) or self._queue.stall_reason()

    def readiness_problem(self) -> str | None:
        """Return the reason why this replica is not ready, or None."""
        if self._state.config is None and self._config.informer.synced.is_set():
            return "inferenceservice-config cannot be used"
        refused = self._elector.refused if self._elector else None
        missing = unsynced(self._all_informers) or self._informers.scope_problem()
        return missing or refused or (self._guard.problem if self._guard else None)

    def _deletion_doubt(self, namespace: str) -> str | None:
        """Return the reason against deletions of models in a namespace now, or None."""
        scope = None if self._state.in_scope(namespace) else f"namespace {namespace} is not in scope, or not listed yet"
        return scope or unsynced(self._all_informers) or (self._guard.problem if self._guard else None)

    @property
    def _all_informers(self) -> tuple[Informer, ...]:
        return (self._config.informer, *self._informers)

    async def _work(self) -> None:
        """Run for election once everything has been listed, and work as the leader."""
        await self._config.ready()
        await self._informers.synced()
        if self._elector:
            await self._elector.run(self._leadership)
        else:
            async with self._leadership():
                await asyncio.Event().wait()

    @asynccontextmanager
    async def _leadership(self) -> AsyncIterator[None]:
        """Run the work of the leader while this context is entered."""
        metrics.LEADER_TRANSITIONS.inc()
        self._is_leader = True
        self._recorder.clear()
        self._config.record_problem()
        for poller in self._pollers:
            await poller.open()
        self._leader_tasks.start("events", self._while_clear(self._recorder.run))
        self._leader_tasks.start("lookups", self._metadata_poller.run())
        self._leader_tasks.start("resync", resync(self._state, self._queue))
        self._leader_tasks.start("scaling", self._autoscaler.run())
        self._leader_tasks.start("reconcile", self._reconcile())
        try:
            yield
        finally:
            self._is_leader = False
            await self._leader_tasks.stop()
            for poller in self._pollers:
                await poller.close()

    def _on_replicas(self, host: Key) -> None:
        self._slots.update(host)
        for poller in self._pollers:
            poller.update_host(host)

    async def _reconcile(self) -> None:
        """Reconcile until cancelled; never from a snapshot that is not whole yet, the reports of pods included."""
        await asyncio.gather(*(each.wait_first_reports() for each in self._reporting))
        await self._while_clear(self._run_queue)

    async def _run_queue(self) -> None:
        """Reconcile all hosts, and then those that change; write statuses in the background."""
        planner = Planner(self._slots.decide)
        self._slots.open(planner.now())
        reconciler = Reconciler(self._state, self._applier, self._metadata_poller, self._debouncer, planner)
        self._statuses.clear()
        self._state.enqueue_all()
        async with asyncio.TaskGroup() as group:
            reconcile = Defects(self._state, self._informers.informer_of, planner.now).shown(reconciler.reconcile)
            measured = self._reconciles.measured(reconcile)
            for work in (self._statuses.run(), self._debouncer.run(), self._queue.run(measured)):
                group.create_task(work)

    async def _while_clear(self, work: Work) -> None:
        """Run a task that writes, while the CRD guard passes writes."""
        await (self._guard.while_clear(work) if self._guard else work())

    def _measure(self) -> None:
        """Let the metrics read the parts of this operator."""
        state, queue = self._state, self._queue
        state.model_counts.on_outcome = self._observe_outcome
        metrics.HOSTS.set_source(lambda: host_figures(state, self._agent_poller) if self._is_leader else ())
        metrics.QUEUE_DEPTH.set_function(lambda: len(queue) if queue.active else 0)
        metrics.UNFINISHED_SECONDS.set_function(self._reconciles.unfinished)
        metrics.LONGEST_SECONDS.set_function(self._reconciles.longest)
        metrics.LEADER.labels(self._settings.lease).set_function(lambda: self._is_leader)
        for kind, reasons in (("InferenceService", HOST_REASONS), ("TrainedModel", MODEL_REASONS)):
            for reason in reasons:
                metrics.UNMANAGED.labels(kind, reason).set_function(partial(state.unmanaged.count, kind, reason))
            metrics.UNMANAGED.labels(kind, OUT_OF_SCOPE).set_function(partial(self._informers.count_out_of_scope, kind))
        metrics.UNMANAGED.labels("InferenceService", OTHER_OPERATOR).set_function(lambda: len(state.others.hosts))
        for kind in {each.kind.name for each in self._informers}:
            metrics.OBJECTS.labels(kind).set_function(partial(self._informers.count, kind))

    def _observe_outcome(self, state: CountedState, seconds: float) -> None:
        if self._is_leader:
            metrics.MODEL_READY_SECONDS.labels(state.value).observe(seconds)

    def _count_write(self, kind: str, verb: str) -> None:
        self._queue.note_progress()
        metrics.WRITES.labels(kind, verb).inc()
        if (kind, verb) == MODEL_DELETED:
            metrics.MODELS_DELETED.inc()
