"""The operator's metrics, in the default registry."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from manyserve.prometheus import add_build_info

_LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)

RUNS = Counter("manyserve_reconcile", "Reconciles of one host, by result.", ["result"])
RUN_SECONDS = Histogram(
    "manyserve_reconcile_duration_seconds",
    "Duration of one reconcile.",
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)
WRITES = Counter("manyserve_api_writes", "Successful writes to the API server.", ["kind", "verb"])
MODELS_DELETED = Counter("manyserve_models_deleted", "TrainedModels deleted because their host is gone.")
QUEUE = Gauge("manyserve_workqueue_depth", "Hosts that wait in the workqueue.")
OBJECTS = Gauge("manyserve_objects", "Objects in the operator's cache.", ["kind"])
UNMANAGED = Gauge("manyserve_unmanaged_objects", "Unmanaged objects, by reason.", ["kind", "reason"])
AGENTS = Gauge("manyserve_agents", "Agents of running pods; a silent agent has no report.", ["state"])
CONFIG_ERRORS = Counter("manyserve_config_errors", "Invalid edits of inferenceservice-config.")
CONFIG_BROKEN = Gauge("manyserve_config_broken", "1 while inferenceservice-config is invalid, else 0.")
LEADER = Gauge("manyserve_leader", "1 while this replica is the leader, else 0.")
LEADER_TRANSITIONS = Counter("manyserve_leader_transitions", "Times that this replica became leader.")
LOOP_LAG = Histogram(
    "manyserve_event_loop_lag_seconds", "Lag of the event loop, sampled 20 times a second.", buckets=_LAGS
)
LOOP_BLOCKED = Histogram(
    "manyserve_event_loop_blocked_seconds",
    "Upper bound of the lag that the process itself caused; the rest is lack of CPU.",
    buckets=_LAGS,
)
add_build_info(REGISTRY)
