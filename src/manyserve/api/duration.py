"""Durations as Go and Kubernetes write them: `30s`, `10m`, `1h30m`."""

from __future__ import annotations

import re

SHORTEST_REFRESH = 10.0
DURATION = r"^([0-9]{1,6}(\.[0-9]{1,9})?(ms|s|m|h))+$"
REFRESH_SENTENCE = "must be a duration of at least 10s, such as 30s, 10m or 1h30m"

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Parse a duration to seconds. Raises `ValueError` with a sentence."""
    if re.search(DURATION, text) is None or len(text) > 32:
        raise ValueError(f"{text[:32]!r} is not a duration; it {REFRESH_SENTENCE}")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
