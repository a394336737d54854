"""What the agent counts, in a registry of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from manyserve.api.agentreport import AgentReport, ModelState
from manyserve.version import version

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """All metrics of one agent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.download_seconds = Histogram(
            "manyserve_agent_download_seconds",
            "Time of the downloads that succeeded.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.load_seconds = Histogram(
            "manyserve_agent_load_seconds",
            "Time of the loads that succeeded.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.bytes = Counter("manyserve_agent_download_bytes", "Bytes downloaded.", registry=self.registry)
        self.failures = Counter(
            "manyserve_agent_failures",
            "Failed downloads, loads and removals.",
            ["stage", "reason"],
            registry=self.registry,
        )
        self.models = Gauge("manyserve_agent_models", "Wanted models by state.", ["state"], registry=self.registry)
        self.server_ready = Gauge(
            "manyserve_agent_server_ready", "1 while the model server answers.", registry=self.registry
        )
        self.config_error = Gauge(
            "manyserve_agent_config_error", "1 while the mounted models.json cannot be used.", registry=self.registry
        )
        self.lag = Gauge(
            "manyserve_agent_loop_lag_seconds", "How late the agent's loop last woke up.", registry=self.registry
        )

        self.config_time = Gauge(
            "manyserve_agent_config_timestamp_seconds",
            "When the models.json in force was first read, in seconds since 1970.",
            registry=self.registry,
        )
        build = Info("manyserve_agent_build", "The program that runs.", registry=self.registry)
        build.info({"version": version()})
        for state in ModelState:
            self.models.labels(state.value)

    def reported(self, report: AgentReport) -> None:
        """Count the models of a new report by state."""
        states = [model.state for model in report.models.values()]
        for state in ModelState:
            self.models.labels(state.value).set(states.count(state))
        self.server_ready.set(report.server_ready)
        self.config_error.set(bool(report.config_error))
