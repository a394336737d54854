"""The operator's metrics, in one registry. `operator.host_metrics` has those by host."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from manyserve.operator.host_metrics import HostCollector
from manyserve.prometheus import ApiRequests, new_registry

_LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_RUN_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_READY_SECONDS = (1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
CONTROLLER = "inferenceservice"
"""The value of the labels `controller` and `name`: the operator has one queue, of hosts."""
RESULTS = ("success", "requeue_after", "error")
"""Results of a reconcile, as in controller-runtime."""
OUTCOMES = ("ready", "failed")

REGISTRY = new_registry()
API_REQUESTS = ApiRequests(REGISTRY)

RECONCILES = Counter(
    "controller_runtime_reconcile", "Reconciles of one host, by result.", ["controller", "result"], registry=REGISTRY
)
RECONCILE_ERRORS = Counter(
    "controller_runtime_reconcile_errors",
    "Reconciles that failed and are tried again.",
    ["controller"],
    registry=REGISTRY,
).labels(CONTROLLER)
RECONCILE_PANICS = Counter(
    "controller_runtime_reconcile_panics",
    "Reconciles that failed by a defect of the operator.",
    ["controller"],
    registry=REGISTRY,
).labels(CONTROLLER)
RECONCILE_SECONDS = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "Duration of one reconcile.",
    ["controller"],
    buckets=_RUN_SECONDS,
    registry=REGISTRY,
).labels(CONTROLLER)
QUEUE_DEPTH = Gauge("workqueue_depth", "Hosts that are due and wait.", ["name"], registry=REGISTRY).labels(CONTROLLER)
QUEUE_ADDS = Counter("workqueue_adds", "Hosts added to the queue.", ["name"], registry=REGISTRY).labels(CONTROLLER)
QUEUE_RETRIES = Counter(
    "workqueue_retries", "Hosts added again because their reconcile failed.", ["name"], registry=REGISTRY
).labels(CONTROLLER)
QUEUE_SECONDS = Histogram(
    "workqueue_queue_duration_seconds",
    "Time for which a host was due until its reconcile began.",
    ["name"],
    buckets=_RUN_SECONDS,
    registry=REGISTRY,
).labels(CONTROLLER)
WORK_SECONDS = Histogram(
    "workqueue_work_duration_seconds",
    "Time that an item of the queue took, as controller_runtime_reconcile_time_seconds.",
    ["name"],
    buckets=_RUN_SECONDS,
    registry=REGISTRY,
).labels(CONTROLLER)
UNFINISHED_SECONDS = Gauge(
    "workqueue_unfinished_work_seconds", "Sum of the times of the running reconciles.", ["name"], registry=REGISTRY
).labels(CONTROLLER)
LONGEST_SECONDS = Gauge(
    "workqueue_longest_running_processor_seconds",
    "Time of the longest running reconcile.",
    ["name"],
    registry=REGISTRY,
).labels(CONTROLLER)
WRITES = Counter("manyserve_api_writes", "Successful writes to the API server.", ["kind", "verb"], registry=REGISTRY)
MODELS_DELETED = Counter(
    "manyserve_models_deleted", "TrainedModels deleted because their host is gone.", registry=REGISTRY
)
MODEL_READY_SECONDS = Histogram(
    "manyserve_model_ready_seconds",
    "Time from the apply of a model's spec until it is ready, or until it fails first; by outcome.",
    ["outcome"],
    buckets=_READY_SECONDS,
    registry=REGISTRY,
)
OBJECTS = Gauge("manyserve_objects", "Objects in the operator's cache.", ["kind"], registry=REGISTRY)
UNMANAGED = Gauge("manyserve_unmanaged_objects", "Unmanaged objects, by reason.", ["kind", "reason"], registry=REGISTRY)
CONFIG_ERRORS = Counter("manyserve_config_errors", "Invalid edits of inferenceservice-config.", registry=REGISTRY)
CONFIG_BROKEN = Gauge(
    "manyserve_config_broken", "1 while inferenceservice-config is invalid, else 0.", registry=REGISTRY
)
LEADER = Gauge(
    "leader_election_master_status",
    "1 while this replica is the leader, else 0; by the name of the Lease.",
    ["name"],
    registry=REGISTRY,
)
LEADER_TRANSITIONS = Counter(
    "manyserve_leader_transitions", "Times that this replica became leader.", registry=REGISTRY
)
LOOP_LAG = Histogram(
    "manyserve_event_loop_lag_seconds",
    "Lag of the event loop, sampled 20 times a second.",
    buckets=_LAGS,
    registry=REGISTRY,
)
LOOP_BLOCKED = Histogram(
    "manyserve_event_loop_blocked_seconds",
    "Upper bound of the lag that the process itself caused; the rest is lack of CPU.",
    buckets=_LAGS,
    registry=REGISTRY,
)
HOSTS = HostCollector(REGISTRY)

for _result in RESULTS:
    RECONCILES.labels(CONTROLLER, _result)
for _outcome in OUTCOMES:
    MODEL_READY_SECONDS.labels(_outcome)
