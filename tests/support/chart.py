"""Limits of the two programs in the chart: memory, and the timeouts of probes and reviews."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from webhooks.render import CHART, helm

from manyserve.api.quantity import parse_memory

MIB = 2**20


@cache
def container(program: str) -> dict[str, Any]:
    """Return the container of `operator` or `webhook`, as the chart's own values render it."""
    text = helm("template", "manyserve", str(CHART), "--show-only", f"templates/{program}-deployment.yaml")
    (rendered,) = filter(None, yaml.safe_load_all(text))
    found: dict[str, Any] = rendered["spec"]["template"]["spec"]["containers"][0]
    return found


def review_seconds() -> float:
    """Return the timeout of the API server for a review."""
    return float(yaml.safe_load((CHART / "values.yaml").read_text())["webhook"]["timeoutSeconds"])


def memory_limit_mib(program: str) -> float:
    """Return the memory limit of a program, in MiB."""
    return parse_memory(container(program)["resources"]["limits"]["memory"]) / MIB


def probe_seconds(program: str) -> dict[str, float]:
    """Return the timeout of each probe by its path."""
    probes = [container(program)[name] for name in ("livenessProbe", "readinessProbe")]
    return {each["httpGet"]["path"]: float(each["timeoutSeconds"]) for each in probes}
