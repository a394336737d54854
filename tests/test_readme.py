"""The README names existing files and targets."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_readme_names_existing_files() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"(deploy/[\w./-]+)", README)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_names_existing_make_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", README)) <= targets


def test_samples_equal_those_of_walkthrough() -> None:
    data = ROOT / "tests" / "data" / "walkthrough"
    for sample in data.glob("*.yaml"):
        assert (ROOT / "deploy" / "samples" / sample.name).read_bytes() == sample.read_bytes()
