"""Homogeneous hosts: their children, `models.json` and statuses are those from before there were shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plan import homogeneous


@pytest.mark.parametrize("path", homogeneous.inputs(), ids=lambda path: path.name.removesuffix(homogeneous.INPUT))
def test_homogeneous_host_equals_its_golden_file(path: Path) -> None:
    assert homogeneous.render(path) == homogeneous.output_of(path).read_text()


def test_each_homogeneous_golden_file_has_its_input() -> None:
    outputs = {path.name for path in homogeneous.DATA.glob(f"*{homogeneous.OUTPUT}")}
    assert {homogeneous.output_of(path).name for path in homogeneous.inputs()} == outputs
    assert len(outputs) >= 20
