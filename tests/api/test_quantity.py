"""Quantities and memory: exact parsing to whole bytes, and errors in one sentence."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.quantity import LARGEST, format_memory, parse_memory, parse_quantity


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1Gi", 2**30),
        ("1024Mi", 2**30),
        ("1.5Gi", 3 * 2**29),
        ("1G", 10**9),
        ("1k", 1000),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1000m", 1),
        (1073741824, 2**30),
        ("+1Gi", 2**30),
    ],
)
def test_memory_parses_to_whole_bytes(text: str | int, count: int) -> None:
    assert parse_memory(text) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a quantity"),
        ("abc", "is not a quantity"),
        ("1gi", "is not a quantity"),
        (" 1Gi", "is not a quantity"),
        ("NaN", "is not a quantity"),
        (True, "is not a quantity"),
        (None, "is not a quantity"),
        (1.5, "is not a quantity"),
        ("0", "is not greater than 0"),
        ("-1Gi", "is not greater than 0"),
        ("1.5", "is not a whole number of bytes"),
        ("0.1m", "is not a whole number of bytes"),
        ("9999999999Ei", "is more than any machine has"),
        ("1" * 100, "is not a quantity"),
        ("\u0661Gi", "is not a quantity"),
    ],
)
def test_memory_parser_refuses_with_sentence(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        parse_memory(text)
    assert "such as 512Mi or 1Gi" in str(error.value)


@given(st.integers(1, LARGEST))
def test_memory_parses_number_of_bytes(count: int) -> None:
    assert parse_memory(count) == parse_memory(str(count)) == count


@given(st.integers(1, 1023), st.sampled_from(["", "Ki", "Mi", "Gi", "Ti", "Pi"]))
def test_memory_format_round_trip_of_whole_units(number: int, suffix: str) -> None:
    assert format_memory(parse_memory(f"{number}{suffix}")) == f"{number}{suffix}"


@given(st.text(max_size=80))
def test_quantity_parser_of_any_text_returns_or_raises_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_quantity(text).is_finite()


def test_memory_format_rounds_to_two_digits() -> None:
    assert format_memory(1500 * 1024**2) == "1.46Gi"
    assert format_memory(0) == "0"
