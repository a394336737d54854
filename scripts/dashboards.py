"""Grafana dashboards of the fleet and of one host, built with Grafana's own SDK. `make generate` writes them.

`scripts.pictures` draws the same queries, and tests/metrics runs each of them against a real Prometheus.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

BY_HOST = 'namespace=~"$namespace",host=~"$host"'
"""The selector of the dashboard of a host."""


@dataclass(frozen=True)
class Query:
    """One query of a panel, with the legend of its series."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. A `number` shows the last value, any other panel the course of time."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    number: bool = False


@dataclass(frozen=True)
class Board:
    """One dashboard: its rows with their panels, and the variables that select series."""

    name: str
    title: str
    rows: dict[str, tuple[Panel, ...]]
    variables: dict[str, str]
    """The query of the values, by the name of the variable."""


def _one(title: str, expression: str, legend: str = "", unit: str = "short", *, number: bool = False) -> Panel:
    return Panel(title, (Query(expression, legend),), unit, number)


def _quantiles(title: str, bucket: str, selector: str = "") -> Panel:
    """Return a panel with the median and the 95th percentile of a histogram."""
    rates = f"sum by (le) (rate({bucket}{selector}[$__rate_interval]))"
    pairs = ((0.5, "median"), (0.95, "95th percentile"))
    return Panel(title, tuple(Query(f"histogram_quantile({part}, {rates})", name) for part, name in pairs), "s")


_MODELS = (
    _one("Hosts that are ready", "sum(manyserve_host_ready)", number=True),
    _one("Hosts", "count(manyserve_host_ready)", number=True),
    _one("Models that are ready", 'sum(manyserve_host_models{state="ready"})', number=True),
    _one("Models that fail", 'sum(manyserve_host_models{state="failed"})', number=True),
    _one("Models by state", "sum by (state) (manyserve_host_models)", "{{state}}"),
    _one("Waiting models by reason", "sum by (reason) (manyserve_models_waiting)", "{{reason}}"),
    _quantiles("Time from apply to ready", "manyserve_model_ready_seconds_bucket", '{outcome="ready"}'),
    _one(
        "Declared memory of the limit, by namespace",
        'sum by (namespace) (manyserve_host_memory_bytes{kind="declared"})'
        ' / sum by (namespace) (manyserve_host_memory_bytes{kind="limit"})',
        "{{namespace}}",
        "percentunit",
    ),
    _one("Pods by state", "sum by (state) (manyserve_host_replicas)", "{{state}}"),
    _one("Agents by state", "sum by (state) (manyserve_agents)", "{{state}}"),
)
_OPERATOR = (
    _one("Replicas that lead", "sum(leader_election_master_status)", number=True),
    _one("Invalid configuration", "max(manyserve_config_broken)", number=True),
    _one(
        "Reconciles by result",
        "sum by (result) (rate(controller_runtime_reconcile_total[$__rate_interval]))",
        "{{result}}",
        "ops",
    ),
    _one("Hosts that wait in the queue", "max(workqueue_depth)"),
    _quantiles("Time in the queue", "workqueue_queue_duration_seconds_bucket"),
    _one(
        "Requests to the API server by code",
        "sum by (code) (rate(rest_client_requests_total[$__rate_interval]))",
        "{{code}}",
        "reqps",
    ),
    _one(
        "Writes by kind",
        "sum by (kind, verb) (rate(manyserve_api_writes_total[$__rate_interval]))",
        "{{verb}} {{kind}}",
    ),
    _quantiles("Lag of the event loop", "manyserve_event_loop_lag_seconds_bucket"),
)
_WEBHOOK = (
    _one(
        "Days until the certificate expires",
        "(min(manyserve_webhook_certificate_expiry_timestamp_seconds) - time()) / 86400",
        number=True,
    ),
    _one(
        "Reviews by verdict",
        "sum by (verdict, reason) (rate(manyserve_webhook_reviews_total[$__rate_interval]))",
        "{{verdict}} {{reason}}",
        "reqps",
    ),
    _quantiles("Time of a review", "controller_runtime_webhook_latency_seconds_bucket"),
    _one(
        "Responses by code",
        "sum by (code) (rate(controller_runtime_webhook_requests_total[$__rate_interval]))",
        "{{code}}",
        "reqps",
    ),
)
_HOST = (
    _one("Ready", f"sum(manyserve_host_ready{{{BY_HOST}}})", number=True),
    _one("Models that are ready", f'sum(manyserve_host_models{{{BY_HOST},state="ready"}})', number=True),
    _one("Models by state", f"sum by (state) (manyserve_host_models{{{BY_HOST}}})", "{{state}}"),
    _one("Waiting models by reason", f"sum by (reason) (manyserve_models_waiting{{{BY_HOST}}})", "{{reason}}"),
    _one("Memory", f"sum by (kind) (manyserve_host_memory_bytes{{{BY_HOST}}})", "{{kind}}", "bytes"),
    _one("Pods by state", f"sum by (state) (manyserve_host_replicas{{{BY_HOST}}})", "{{state}}"),
    _one("Agents by state", f"sum by (state) (manyserve_agents{{{BY_HOST}}})", "{{state}}"),
)
_PODS = (
    _one("Model server answers", f"manyserve_agent_server_ready{{{BY_HOST}}}", "{{pod}}"),
    _one("Models by pod and state", f"sum by (pod, state) (manyserve_agent_models{{{BY_HOST}}})", "{{pod}} {{state}}"),
    _quantiles("Time of a download", "manyserve_agent_download_duration_seconds_bucket", f"{{{BY_HOST}}}"),
    _quantiles("Time of a load", "manyserve_agent_load_duration_seconds_bucket", f"{{{BY_HOST}}}"),
    _one(
        "Downloaded bytes",
        f"sum by (pod) (rate(manyserve_agent_download_bytes_total{{{BY_HOST}}}[$__rate_interval]))",
        "{{pod}}",
        "Bps",
    ),
    _one(
        "Failures by reason",
        f"sum by (stage, reason) (rate(manyserve_agent_failures_total{{{BY_HOST}}}[$__rate_interval]))",
        "{{stage}} {{reason}}",
    ),
    _one("Memory of the agents", f"process_resident_memory_bytes{{{BY_HOST}}}", "{{pod}}", "bytes"),
    _one(
        "Processor time of the agents",
        f"rate(process_cpu_seconds_total{{{BY_HOST}}}[$__rate_interval])",
        "{{pod}}",
        "percentunit",
    ),
)
BOARDS = (
    Board("fleet", "manyserve / Fleet", {"Models": _MODELS, "Operator": _OPERATOR, "Webhook": _WEBHOOK}, {}),
    Board(
        "host",
        "manyserve / Host",
        {"Host": _HOST, "Pods": _PODS},
        {
            "namespace": "label_values(manyserve_host_ready, namespace)",
            "host": 'label_values(manyserve_host_ready{namespace=~"$namespace"}, host)',
        },
    ),
)
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def files() -> dict[str, str]:
    """Return the JSON of each dashboard, by the name of its file."""
    return {f"{board.name}.json": _text_of(board) for board in BOARDS}


def _text_of(board: Board) -> str:
    built = json.loads(JSONEncoder().encode(_built(board).build()), object_hook=_without_nulls)
    del built["style"]  # like the ids of variables, the SDK's release has it, and later releases of Grafana do not
    for variable in built["templating"]["list"]:
        del variable["id"]
    return json.dumps(built, indent=2, sort_keys=True) + "\n"


def _without_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _built(board: Board) -> dashboard.Dashboard:
    built = dashboard.Dashboard(board.title).uid(f"manyserve-{board.name}").tags(["manyserve"]).editable()
    built = built.refresh("30s").time("now-1h", "now")
    built = built.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for name, query in board.variables.items():
        variable = dashboard.QueryVariable(name).label(name.capitalize()).datasource(_SOURCE).query(query)
        built = built.with_variable(variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED))
    for title, panels in board.rows.items():
        built = built.with_row(dashboard.Row(title))
        for panel in panels:
            built = built.with_panel(_panel(panel))
    return built


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    kind = stat.Panel() if panel.number else timeseries.Panel()
    built = kind.title(panel.title).datasource(_SOURCE).unit(panel.unit)
    built = built.span(6 if panel.number else 12).height(4 if panel.number else 8)
    for number, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(chr(65 + number))
        built = built.with_target(target)
    return built
