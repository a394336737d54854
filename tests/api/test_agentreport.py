"""Agent report: its JSON schema has each field with a description, and parsing reuses equal models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manyserve.api.agentreport import AgentReport, ModelReport, ModelState, read

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "agent-status.schema.json").read_text())


def test_agent_report_schema_has_each_field_as_on_the_wire() -> None:
    full = ModelReport(
        state=ModelState.LOADED,
        digest="d",
        next_try="2026-01-01T00:00:00Z",
        bytes=1,
        bytes_total=2,
        download_seconds=0.5,
        load_seconds=0.5,
    )
    report = AgentReport(instance="a", revision=1, models={"m": full}).to_wire()
    assert set(SCHEMA["properties"]) == set(report)
    assert set(SCHEMA["$defs"]["ModelReport"]["properties"]) == set(report["models"]["m"])
    assert SCHEMA["$defs"]["ModelState"]["enum"] == [each.value for each in ModelState]


def test_agent_report_schema_documents_each_field() -> None:
    for part in (SCHEMA, SCHEMA["$defs"]["ModelReport"]):
        assert [name for name, each in part["properties"].items() if not each.get("description")] == []


def body(**fields: Any) -> bytes:
    return json.dumps(
        {"instance": "a", "revision": 1, "models": {"m": {"state": "Loaded", "digest": "d"}}} | fields
    ).encode()


def test_agent_report_reuses_equal_models_of_report_before() -> None:
    before = read(body())
    other = {"m": {"state": "Loaded", "digest": "d"}, "n": {"state": "Loading", "digest": "e"}}
    after = read(body(revision=2, models=other), before)
    assert after == AgentReport.model_validate_json(body(revision=2, models=other))
    assert after.models["m"] is before.models["m"]
    failed = {"m": {"state": "LoadFailed", "digest": "d"}}
    assert read(body(models=failed), before).models["m"].state is ModelState.LOAD_FAILED
