"""Quantities of Kubernetes, memory in whole bytes, and durations as Go writes them: `30s`, `10m`, `1h30m`.

Sums of declared memory decide placement, so they are exact integers, never floats. `1.5Gi` is a whole number of bytes
and valid; `1.5` is not. The largest quantity fits in 63 bits, as in Kubernetes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import WithJsonSchema

LARGEST = 2**63 - 1
EXAMPLE = "a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"
QUANTITY_SENTENCE = "must be a quantity, such as 500m, 1 or 2Gi, and not negative"

SHORTEST_REFRESH = 10.0
DURATION = r"^([0-9]{1,6}(\.[0-9]{1,9})?(ms|s|m|h))+$"
REFRESH_SENTENCE = "must be a duration of at least 10s, such as 30s, 10m or 1h30m"

_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    **{letter: Decimal(10 ** (3 * power)) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}
_NUMBER = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?"
)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Quantity = Annotated[
    str | int,
    WithJsonSchema({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
]
"""A quantity as a user writes it: `1Gi`, `500m`, or a number."""

Memory = Quantity
"""A quantity of memory: `1Gi`, `1500M`, or a number of bytes."""


def parse_quantity(text: Any) -> Decimal:
    """Parse a quantity. Raises `ValueError` with a sentence."""
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError(f"{text!r} is not a quantity; it must be {EXAMPLE}")
    match = _NUMBER.fullmatch(str(text)[:64])
    if match is None or len(str(text)) > 64:
        raise ValueError(f"{str(text)[:64]!r} is not a quantity; it must be {EXAMPLE}")
    suffix = match["suffix"] or ""
    if suffix in _SUFFIXES:
        return Decimal(match["number"]) * _SUFFIXES[suffix]
    return Decimal(match["number"]) * Decimal(f"1{suffix}")


def is_zero_quantity(text: Any) -> bool:
    """Return whether a quantity is 0, in any spelling; an unreadable one is not."""
    try:
        return parse_quantity(text) == 0
    except ValueError:
        return False


def parse_memory(text: Any) -> int:
    """Parse a declared memory to bytes. Raises `ValueError` with a sentence."""
    number = parse_quantity(text)
    if number <= 0:
        raise ValueError(f"{str(text)!r} is not greater than 0; it must be {EXAMPLE}")
    if number > LARGEST:
        raise ValueError(f"{str(text)!r} is more than any machine has; it must be {EXAMPLE}")
    if number != number.to_integral_value():
        raise ValueError(f"{str(text)!r} is not a whole number of bytes; it must be {EXAMPLE}")
    return int(number)


def format_memory(count: int) -> str:
    """Format bytes for people: exact where a binary suffix divides them, else rounded to two digits."""
    sign, count = ("-", -count) if count < 0 else ("", count)
    for power, letter in reversed(list(enumerate("KMGTPE", start=1))):
        unit = 1024**power
        if count >= unit:
            whole, rest = divmod(count, unit)
            return f"{sign}{whole}{letter}i" if rest == 0 else f"{sign}{count / unit:.2f}{letter}i"
    return f"{sign}{count}"


def parse_duration(text: str) -> float:
    """Parse a duration to seconds. Raises `ValueError` with a sentence."""
    if re.search(DURATION, text) is None or len(text) > 32:
        raise ValueError(f"{text[:32]!r} is not a duration; it {REFRESH_SENTENCE}")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
