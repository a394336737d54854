"""Agent report: its JSON schema has each field with a description, and parsing reuses equal models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from manyserve.api.agentreport import (
    LONGEST_WORD,
    MOST_NOT_UNLOADED,
    MOST_SECONDS,
    AgentReport,
    ModelReport,
    ModelState,
    read,
)
from manyserve.redaction import LIMIT

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
        routed=True,
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


def test_agent_report_keeps_short_printable_lines_only() -> None:
    """ANSI codes, line ends and U+202E reached conditions, and a message of 15 MiB was kept."""
    text = "\x1b[31mred\nline\u202egnp.exe" + "x" * 2**20
    model = {"state": "LoadFailed", "digest": "d" * 10**6, "message": text, "nextTry": text}
    report = read(body(models={"m": model}, configError=text, config=text, instance=text, notUnloaded={"n": text}))
    kept = report.models["m"]
    for line in (kept.message, kept.next_try or "", report.config_error, report.config, report.instance):
        assert line.isprintable()
        assert len(line) <= LIMIT
    assert len(kept.digest) == len(kept.next_try or "") == len(report.instance) == LONGEST_WORD
    assert report.not_unloaded["n"] == kept.message


@pytest.mark.parametrize("number", ["-1", "9" * 4299, str(2**63), "1e999"])
def test_agent_report_leaves_out_numbers_out_of_range(number: str) -> None:
    """`bytes` of 4,299 digits made each plan of the host fail. Another model of the report is not affected."""
    numbers = f'"bytes":{number},"bytesTotal":{number},"downloadSeconds":{number},"loadSeconds":{number}'
    bad = f'{{"state":"Downloading","digest":"d",{numbers}}}'
    text = f'{{"instance":"a","revision":1,"models":{{"m":{bad},"n":{{"state":"Loaded","digest":"d"}}}}}}'
    models = read(text.encode()).models
    assert (models["m"].bytes, models["m"].bytes_total) == (None, None)
    seconds = (models["m"].download_seconds, models["m"].load_seconds)
    assert all(each is None or 0 <= each <= MOST_SECONDS for each in seconds)
    assert models["n"].state is ModelState.LOADED


@pytest.mark.parametrize("fields", [{"revision": 2**63}, {"revision": 0}, {"models": {"m": []}}])
def test_agent_report_of_another_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        read(body(**fields))


def test_agent_report_has_no_models_that_nobody_asked_about() -> None:
    others = {f"x{number}": {"state": "Loaded", "digest": "d"} for number in range(1000)}
    asked = {"m": {"state": "Loaded", "digest": "d"}}
    report = read(body(models=others | asked), wanted={"m", "other"})
    assert (list(report.models), report.dropped) == (["m"], 1000)
    assert "dropped" not in report.to_wire()


def test_agent_report_keeps_models_that_were_asked_about() -> None:
    """A model that is deleted and made again is known without another change of the report."""
    before = read(body(), wanted={"m"})
    assert list(read(body(revision=2), before, wanted=set()).models) == ["m"]


def test_agent_report_has_a_bounded_number_of_models_that_are_not_unloaded() -> None:
    removed = {f"x{number}": "busy" for number in range(2 * MOST_NOT_UNLOADED)}
    unprintable = {"\x1b": "busy", "y" * 254: "busy"}
    assert len(read(body(notUnloaded=unprintable | removed)).not_unloaded) == MOST_NOT_UNLOADED
    assert read(body(notUnloaded=unprintable)).not_unloaded == {}
