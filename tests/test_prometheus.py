"""Metrics of all programs: names, units, and shared metrics."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from manyserve import version
from manyserve.agent.metrics import Metrics as AgentMetrics
from manyserve.operator import metrics as operator_metrics
from manyserve.webhook.metrics import Metrics as WebhookMetrics

REGISTRIES = {
    "operator": operator_metrics.REGISTRY,
    "webhook": WebhookMetrics().registry,
    "agent": AgentMetrics().registry,
}


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_metrics_of_each_program_have_process_metrics_and_its_version(registry: CollectorRegistry) -> None:
    text = generate_latest(registry).decode()
    assert "process_cpu_seconds_total " in text
    assert f'manyserve_build_info{{version="{version()}"}} 1.0' in text


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_metrics_have_standard_names_and_no_created_series(registry: CollectorRegistry) -> None:
    text = generate_latest(registry).decode()
    assert not re.findall(r"^\S*_created\b.*", text, re.MULTILINE)
    for name, kind in re.findall(r"^# TYPE (manyserve_\S+) (\S+)$", text, re.MULTILINE):
        assert name.endswith("_total") == (kind == "counter"), name
        assert name.endswith("_seconds") or kind != "histogram", name
