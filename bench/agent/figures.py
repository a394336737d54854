"""A figure: a value beside its goal, and beside the value of a peer or of the bare floor in the same run.

Absolute times mean little on a machine that does other things, so each carries the machine's load. A
figure that misses its goal is printed as missed.
"""

from __future__ import annotations

import os
from typing import Any

Figure = dict[str, Any]


def figure(
    value: float,
    unit: str,
    *,
    below: float | None = None,
    least: float | None = None,
    exactly: float | None = None,
    peer: str = "",
) -> Figure:
    """Return a figure. At most one of the goals holds for it; `peer` describes the value of a peer."""
    goals = {"<": below, ">=": least, "=": exactly}
    goal = next((f"{sign} {limit:g}" for sign, limit in goals.items() if limit is not None), "")
    met = (
        (below is None or value < below) and (least is None or value >= least) and (exactly is None or value == exactly)
    )
    result = {"value": round(value, 3), "unit": unit, "load": round(os.getloadavg()[0], 2)}
    return result | ({"goal": goal, "met": met} if goal else {}) | ({"peer": peer} if peer else {})


def line(name: str, found: object) -> str:
    """Return a figure as a line of text; other objects are shown unchanged."""
    if not isinstance(found, dict) or "value" not in found:
        return f"{name:<58} {found}"
    verdict = {None: "", True: "met", False: "MISSED"}[found.get("met")]
    peer = f"({found['peer']}) " if found.get("peer") else ""
    return (
        f"{name:<58} {found['value']:>10g} {found.get('unit', ''):<11} {found.get('goal', ''):<9} {verdict:<7}"
        f"{peer}load {found.get('load', 0):g}"
    )


def missed(found: object) -> bool:
    """Return whether a figure missed its goal."""
    return isinstance(found, dict) and found.get("met") is False
