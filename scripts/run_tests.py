"""Run the tests of one path, whatever it is marked with; `make test T=path` calls it.

A path with unit tests runs those. A path without any runs all its tests, and the tools that they need are built first.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

import pytest

MARKERS = ("contract", "faults", "cluster", "stores", "servers", "router")
NEED_TOOLS = frozenset({"contract", "faults", "cluster", "stores"})
UNIT = " and ".join(f"not {marker}" for marker in MARKERS)


class Collector:
    """A pytest plugin that notes the markers of each collected test."""

    def __init__(self) -> None:
        self.markers: list[frozenset[str]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note the markers."""
        names = ({marker.name for marker in item.iter_markers()} for item in session.items)
        self.markers = [frozenset(each).intersection(MARKERS) for each in names]


def expression(markers: list[frozenset[str]]) -> str:
    """Return the expression for pytest's `-m`: empty when no test is a unit test."""
    return UNIT if frozenset() in markers else ""


def collected(paths: list[str]) -> list[frozenset[str]]:
    """Return the markers of each test in the paths. Exit with the words of pytest when it finds none."""
    collector, output = Collector(), io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(["--collect-only", "-q", *paths], plugins=[collector])
    if code:
        print(output.getvalue(), end="")
        sys.exit(int(code))
    return collector.markers


def main(paths: list[str]) -> None:
    """Build what the tests need, and run them in this process's place."""
    markers = collected(paths)
    selected = expression(markers)
    if not selected and NEED_TOOLS & frozenset().union(*markers):
        subprocess.run([sys.executable, "-m", "localcluster", "tools"], check=True)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-m", selected, *paths])


if __name__ == "__main__":
    main(sys.argv[1:])
