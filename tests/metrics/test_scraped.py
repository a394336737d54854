"""A real Prometheus scrapes the real programs: each panel's query and each alert's expression returns a series."""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from pathlib import Path

from scripts import pictures
from scripts.dashboards import BOARDS, Panel

from localcluster.paths import Cluster
from manyserve.cluster.client import KubeClient
from tests.metrics.prometheus import Prometheus
from tests.metrics.scene import Scene, scene
from tests.metrics.test_alerts import rules
from tests.support.eventually import eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl

LONG = os.environ.get("METRICS") in ("long", "pictures")
DRAWN = os.environ.get("METRICS") == "pictures"
INTERVAL, WINDOW = ("5s", "60s") if LONG else ("1s", "60s")
"""Interval of the scrapes, and the value of `$__rate_interval`."""
LONG_SECONDS, PAUSE = 120.0, 6.0
"""Seconds for which the long form applies models, and seconds between two of them."""
UNREVIEWED = ("ManyserveWebhookFailsOpen", "ManyserveHostFull")
"""Alerts without a series until the API server admits a model without a review; the webhook is gone then."""
_COMPARISON = re.compile(r" (==|>|<) (?=[\d.])")


def panels() -> list[Panel]:
    """Return the panels of all dashboards."""
    return [panel for board in BOARDS for row in board.rows.values() for panel in row]


def filled(expression: str) -> str:
    """Return the query of a panel with values for Grafana's variables."""
    return expression.replace("$__rate_interval", WINDOW).replace('"$namespace"', '".+"').replace('"$host"', '".+"')


def always(expression: str) -> str:
    """Return the expression of an alert with its comparisons as values, so that a quiet alert has a series, too."""
    return _COMPARISON.sub(r" \1 bool ", expression)


def empty(running: Prometheus, expressions: dict[str, str]) -> list[str]:
    """Return the names of the expressions without a series."""
    return [name for name, expression in expressions.items() if not running.query(expression)]


def without_number(running: Prometheus, expressions: dict[str, str]) -> list[str]:
    """Return the names of the expressions without a number, such as a quantile of nothing."""
    return [
        name
        for name, expression in expressions.items()
        if not any(math.isfinite(value) for _, value in running.query(expression))
    ]


def test_each_alert_compares_with_a_number() -> None:
    assert [name for name, rule in rules().items() if always(rule["expr"]) == rule["expr"]] == []


async def apply_for_a_while(running: Scene) -> None:
    """Apply models one after the other, delete some, and load some in the agent."""
    ends, entries = time.monotonic() + LONG_SECONDS, [running.agent.entry("missing")]
    for number in range(int(LONG_SECONDS / PAUSE)):
        name = f"model-{number}"
        await running.apply(name, memory="32Mi")
        await running.agent.loads(name, *entries)
        entries.append(running.agent.entry(name))
        if number % 3 == 2:
            await asyncio.to_thread(running.kubectl, "delete", "tm", f"model-{number - 1}", "--ignore-not-found")
        await asyncio.sleep(min(PAUSE, max(ends - time.monotonic(), 0.0)))


async def test_prometheus_finds_a_series_for_each_panel_and_each_alert(
    api_server: Cluster, client: KubeClient, kubectl: Kubectl, tmp_path: Path, figures: Figures
) -> None:
    expressions = [query.expression for panel in panels() for query in panel.queries]
    queries = {each: filled(each) for each in expressions}
    alerts = {name: always(rule["expr"]) for name, rule in rules().items()}
    async with scene(api_server, kubectl, client, tmp_path, INTERVAL) as running:
        began = time.time()
        await running.act()
        if LONG:
            await apply_for_a_while(running)
        await eventually_in_thread(
            lambda: without_number(running.prometheus, queries) == [], "each panel has a number", 60
        )
        await eventually_in_thread(
            lambda: set(empty(running.prometheus, alerts)) <= set(UNREVIEWED), "each alert has a series", 60
        )
        if DRAWN:
            pictures.draw(lambda query, step: running.prometheus.course(filled(query), began, time.time(), step))
        await running.fail_open()
        later = {name: alerts[name] for name in UNREVIEWED}
        await eventually_in_thread(lambda: empty(running.prometheus, later) == [], "these alerts have a series", 60)
        names = await asyncio.to_thread(running.prometheus.query, 'count({__name__=~".+",job=~"manyserve.*"})')
        models = await asyncio.to_thread(running.prometheus.query, '{__name__=~"manyserve_.+",model=~".+"}')
    figures.take("queries of panels with a number", len(queries), "queries", exactly=len(set(expressions)))
    figures.take("expressions of alerts with a series", len(alerts), "alerts", exactly=len(alerts))
    figures.take("series of operator and webhook", names[0][1], "series")
    assert models == []
