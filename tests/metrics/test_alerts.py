"""Alerts of the chart: their form, their runbooks, and one firing and one quiet case of each, with promtool."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from webhooks.render import ROOT

from tests.chart.rendering import objects
from tests.metrics import alert_cases
from tests.metrics.alert_cases import CASES
from tests.metrics.prometheus import Promtool

RULES = "monitoring.prometheusRule.enabled=true"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")


def groups(*values: str) -> list[dict[str, Any]]:
    """Return the groups of the PrometheusRule."""
    (rule,) = (each for each in objects(RULES, *values) if each["kind"] == "PrometheusRule")
    found: list[dict[str, Any]] = rule["spec"]["groups"]
    return found


def rules(*values: str) -> dict[str, dict[str, Any]]:
    """Return the rules by the name of their alert."""
    return {rule["alert"]: rule for group in groups(*values) for rule in group["rules"]}


def rule_file(folder: Path, *values: str) -> Path:
    """Write the groups as a file of Prometheus."""
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups(*values)}))
    return path


@pytest.mark.parametrize("values", [(), ("api.group=serving.manyserve.io", "fullnameOverride=other")])
def test_promtool_accepts_the_rules(promtool: Promtool, values: tuple[str, ...], tmp_path: Path) -> None:
    checked = promtool("check", "rules", str(rule_file(tmp_path, *values)))
    assert f"SUCCESS: {len(rules(*values))} rules found" in checked


def test_each_alert_fires_in_one_case_and_is_quiet_in_another(promtool: Promtool, tmp_path: Path) -> None:
    severities = {name: rule["labels"]["severity"] for name, rule in rules().items()}
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(alert_cases.test_file(str(rule_file(tmp_path)), severities)))
    assert "SUCCESS" in promtool("test", "rules", str(path))


def test_each_alert_has_its_cases() -> None:
    assert list(CASES) == list(rules())
    assert len(CASES) >= 13


def test_each_alert_has_a_severity_and_sentences() -> None:
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert {"summary", "description", "runbook_url"} == rule["annotations"].keys(), name
        assert all(text.endswith(".") for key, text in rule["annotations"].items() if key != "runbook_url"), name


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("Manyserve*.md")} == rules().keys()
    for name, rule in rules().items():
        path = ROOT / rule["annotations"]["runbook_url"]
        assert path == RUNBOOKS / f"{name}.md"
        assert tuple(re.findall("^## (.*)$", path.read_text(), re.MULTILINE)) == SECTIONS
        assert f"[{name}]({name}.md)" in (RUNBOOKS / "README.md").read_text()


def test_runbook_url_begins_with_its_value() -> None:
    found = rules("monitoring.prometheusRule.runbookUrl=https://example.com/books")
    assert found["ManyserveNoLeader"]["annotations"]["runbook_url"] == "https://example.com/books/ManyserveNoLeader.md"


def test_alerts_have_the_names_of_the_release_and_of_the_api_group() -> None:
    found = rules("fullnameOverride=other", "api.group=serving.manyserve.io")
    assert 'job="other-operator"' in found["ManyserveNoLeader"]["expr"]
    assert 'name="validate.serving.manyserve.io"' in found["ManyserveWebhookFailsOpen"]["expr"]


def test_alerts_about_the_webhook_are_absent_without_it() -> None:
    assert not any("Webhook" in name for name in rules("webhook.enabled=false"))
