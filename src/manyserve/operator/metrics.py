"""What the operator counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RUNS = Counter("manyserve_reconcile_runs", "Runs of one host, by how they ended", ["result"])
RUN_SECONDS = Histogram(
    "manyserve_reconcile_seconds", "Seconds of one run", buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
)
WRITES = Counter("manyserve_writes", "Writes to the API server that succeeded", ["kind", "verb"])
MODELS_DELETED = Counter("manyserve_models_deleted", "Models that were deleted because their host is gone")
QUEUE = Gauge("manyserve_queue_depth", "Hosts that wait for a run")
OBJECTS = Gauge("manyserve_objects", "Objects in the operator's copies", ["kind"])
UNMANAGED = Gauge("manyserve_unmanaged_objects", "Objects that are left alone, by reason", ["kind", "reason"])
AGENTS = Gauge("manyserve_agents_reporting", "Pods whose agent can be reached")
CONFIG_ERRORS = Counter("manyserve_config_errors", "Edits of inferenceservice-config that cannot be used")
CONFIG_BROKEN = Gauge("manyserve_config_broken", "1 while inferenceservice-config cannot be used")
LEADER = Gauge("manyserve_leader", "1 while this replica works, 0 while it waits")
TERMS = Counter("manyserve_leader_terms", "How often this replica began to work")
_LAGS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
LOOP_LAG = Histogram(
    "manyserve_event_loop_lag_seconds", "How late the event loop was, at each of twenty looks a second", buckets=_LAGS
)
LOOP_BLOCKED = Histogram(
    "manyserve_event_loop_blocked_seconds",
    "How much of that it was kept by our own work at most; else the machine gave us no processor",
    buckets=_LAGS,
)
