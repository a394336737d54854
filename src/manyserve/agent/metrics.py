"""Prometheus metrics of the agent."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from manyserve.api.agentreport import AgentReport, ModelState
from manyserve.prometheus import new_registry

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """All metrics of one agent."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self.download_seconds = Histogram(
            "manyserve_agent_download_duration_seconds",
            "Duration of successful downloads.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.load_seconds = Histogram(
            "manyserve_agent_load_duration_seconds",
            "Duration of successful loads.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.bytes = Counter("manyserve_agent_download_bytes", "Bytes downloaded.", registry=registry)
        self.failures = Counter(
            "manyserve_agent_failures",
            "Failed downloads, loads and removals.",
            ["stage", "reason"],
            registry=registry,
        )
        self.models = Gauge("manyserve_agent_models", "Models in models.json, by state.", ["state"], registry=registry)
        self.server_ready = Gauge(
            "manyserve_agent_server_ready", "1 while the model server answers, else 0.", registry=registry
        )
        self.config_error = Gauge(
            "manyserve_agent_config_error", "1 while the mounted models.json is invalid, else 0.", registry=registry
        )
        self.lag = Gauge("manyserve_agent_event_loop_lag_seconds", "Latest lag of the agent's loop.", registry=registry)
        self.config_time = Gauge(
            "manyserve_agent_config_timestamp_seconds",
            "Time when the models.json in force was first read.",
            registry=registry,
        )
        for state in ModelState:
            self.models.labels(state.value)

    def on_report(self, report: AgentReport) -> None:
        """Count the models of a new report by state."""
        states = [model.state for model in report.models.values()]
        for state in ModelState:
            self.models.labels(state.value).set(states.count(state))
        self.server_ready.set(report.server_ready)
        self.config_error.set(bool(report.config_error))
