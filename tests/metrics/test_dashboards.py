"""Dashboards and alerts name metrics and labels that the programs have, and the ConfigMap has the dashboards."""

from __future__ import annotations

import json
import re

import pytest
from scripts.dashboards import BOARDS
from scripts.metrics_reference import full_name, labels_of, registries

from tests.chart.rendering import the
from tests.metrics.test_alerts import rules

_SELECTED = re.compile(
    r"\b([a-z_]+)\{([^}]*)\}|\b((?:manyserve|workqueue|controller_runtime|rest_client|leader_election|process)_[a-z_]+)"
)
_LABEL = re.compile(r'(\w+)(?:=~|!=|=)"')
OF_TARGETS = {"job", "namespace", "host", "pod", "le"}
"""Labels that Prometheus adds to each metric, or that its type has."""
OF_OTHERS = {"up", "apiserver_admission_webhook_fail_open_count"}
"""Metrics of Prometheus and of the API server."""


def known() -> dict[str, set[str]]:
    """Return the labels of each metric as it is scraped, of all programs."""
    found: dict[str, set[str]] = {}
    for registry in registries().values():
        labels = labels_of(registry)
        for metric in registry.collect():
            names = [metric.name + end for end in ("_bucket", "_count", "_sum")] if metric.type == "histogram" else []
            for name in names or [full_name(metric)]:
                found.setdefault(name, set()).update(labels[metric.name])
    return found


EXPRESSIONS = {
    **{name: rule["expr"] for name, rule in rules().items()},
    **{
        f"{board.name}: {panel.title} {number}": query.expression
        for board in BOARDS
        for row in board.rows.values()
        for panel in row
        for number, query in enumerate(panel.queries)
    },
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expression_names_metrics_and_labels_of_the_programs(expression: str) -> None:
    metrics, selected = known(), _SELECTED.findall(expression)
    assert selected
    for name, selector, bare in selected:
        metric = name or bare
        if metric not in OF_OTHERS:
            assert metric in metrics
            assert set(_LABEL.findall(selector)) <= metrics[metric] | OF_TARGETS


def test_config_map_has_the_dashboards_and_the_label_of_the_sidecar() -> None:
    config_map = the("ConfigMap", "manyserve-dashboards", "monitoring.dashboards.enabled=true")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboards = {name: json.loads(text) for name, text in config_map["data"].items()}
    assert {each["uid"] for each in dashboards.values()} == {f"manyserve-{board.name}" for board in BOARDS}
    assert len(dashboards) == len(BOARDS) == 2
    for board in BOARDS:
        titles = [each["title"] for each in dashboards[f"manyserve-{board.name}.json"]["panels"]]
        assert titles == [each for row, panels in board.rows.items() for each in (row, *(p.title for p in panels))]
