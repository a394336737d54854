"""Figures in the tables of bounds, and the constants of the source that they name."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import manyserve
from manyserve.cluster.write_budget import Rate

UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20}
NUMBER = re.compile(r"(\d[\d,]*)(?:\^(\d+))?( - 1)?(?: (KiB|MiB)\b)?")
NAMES = re.compile(r"([^()|;]*)\(((?:`[A-Z][A-Z_]*`(?:, )?)+)\)")
"""Text before a bracket with nothing but names of constants."""


@cache
def constants() -> dict[str, set[float]]:
    """Return the values of the constants of all modules, by name: numbers, and the bursts of rates."""
    found: defaultdict[str, set[float]] = defaultdict(set)
    for module in pkgutil.walk_packages(manyserve.__path__, "manyserve."):
        for name, value in vars(importlib.import_module(module.name)).items():
            number = value.burst if isinstance(value, Rate) else value
            if name.isupper():
                found[name] |= {float(number)} if isinstance(number, int | float) else set()
    return dict(found)


def numbers(text: str) -> set[float]:
    """Return the numbers in a text, in bytes where it says KiB or MiB."""
    return {_value(*match.groups(default="")) for match in NUMBER.finditer(text)}


def _value(digits: str, exponent: str, less: str, unit: str) -> float:
    number = int(digits.replace(",", "")) ** int(exponent or 1) * UNITS[unit]
    return float(number - 1 if less else number)


def wrong_figures(row: str) -> Iterator[str]:
    """Return a sentence for each constant that a row of a table names without its value."""
    for before, names in NAMES.findall(row):
        written = numbers(before)
        for name in re.findall(r"\w+", names):
            values = constants().get(name)
            if values is None or (values and written and not values & written):
                yield f"{name} is {values}, and the row has {sorted(written)}: {row}"
