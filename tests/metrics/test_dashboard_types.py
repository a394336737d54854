"""Dashboards and Grafana's own types: the Go SDK of Grafana decodes them strictly. No Grafana runs in the tests."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from scripts.dashboards import files

from localcluster import tools
from localcluster.paths import cache

pytestmark = pytest.mark.contract  # the program is one of `make tools`

FIRST_PANEL = ("panels", 1)
"""The panel below the first row."""


def errors(text: str) -> str:
    """Return the errors of a dashboard, or an empty text."""
    tools.ensure("grafana-decode")
    program = str(cache() / "bin" / "grafana-decode")
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
    assert bool(done.stderr) == bool(done.returncode)
    return done.stderr


@pytest.mark.parametrize("text", files().values(), ids=files())
def test_dashboard_has_the_fields_and_types_of_grafana(text: str) -> None:
    assert errors(text) == ""


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("refesh",), "30s", "Dashboard: unexpected field 'refesh'"),
        ((*FIRST_PANEL, "options", "colour"), "red", "unexpected field 'colour'"),
        ((*FIRST_PANEL, "targets", 0, "query"), "up", "unexpected field 'query'"),
        ((*FIRST_PANEL, "title"), 1, "title"),
        ((*FIRST_PANEL, "type"), "graph", "the type of a panel is unknown: graph"),
        (("templating", "list", 0, "hidden"), True, "unexpected field 'hidden'"),
    ],
    ids=lambda each: ".".join(map(str, each)) if isinstance(each, tuple) else None,
)
def test_decoding_finds_a_field_that_grafana_does_not_have(place: tuple[Any, ...], value: Any, sentence: str) -> None:
    dashboard = json.loads(files()["host.json"])
    changed = dashboard
    for step in place[:-1]:
        changed = changed.setdefault(step, {}) if isinstance(changed, dict) else changed[step]
    changed[place[-1]] = value
    assert sentence in errors(json.dumps(dashboard))
