"""docs/inputs.md and the tests of the inputs name each other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = re.compile(r"^(?:async )?def test_input_(\d\d)_(?:and_(\d\d)_)?", re.MULTILINE)


def table() -> dict[int, set[str]]:
    """Return the test files of each number in docs/inputs.md."""
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", (ROOT / "docs" / "inputs.md").read_text(), re.MULTILINE)
    return {int(number): set(re.findall(r"`(tests/[^`]+)`", files)) for number, files in rows}


def numbers_in(path: Path) -> set[int]:
    """Return the numbers in the names of the tests of a file."""
    return {int(number) for match in NAME.findall(path.read_text()) for number in match if number}


def test_inputs_table_is_numbered_without_gap() -> None:
    assert list(table()) == list(range(1, 34))


def test_inputs_table_names_existing_test_files() -> None:
    for number, files in table().items():
        assert files, f"input {number} has no test file"
        for file in files:
            assert (ROOT / file).is_file(), f"input {number}: {file} does not exist"
            assert number in numbers_in(ROOT / file), f"{file} has no test of input {number}"


def test_inputs_table_has_each_test_file_of_inputs() -> None:
    listed = table()
    for path in (ROOT / "tests" / "inputs").glob("test_*.py"):
        numbers = numbers_in(path)
        assert numbers, f"{path.name} has no test with the number of an input"
        for number in numbers:
            assert str(path.relative_to(ROOT)) in listed[number], f"input {number} does not list {path.name}"


def test_inputs_table_has_each_number_of_test_names() -> None:
    used = {number for path in (ROOT / "tests").rglob("test_*.py") for number in numbers_in(path)}
    assert used == set(table())
