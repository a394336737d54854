"""Run a target of the Makefile with the Python that runs the tests, without making `.venv`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "T")
"""Variables of a make around these tests, which would change the make of a test."""


def command(*words: str) -> list[str]:
    """Return the command line of make for these targets and variables."""
    return ["make", "--old-file", ".venv/.installed", f"BIN={Path(sys.executable).parent}", *words]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of make, changed by these variables."""
    return {name: value for name, value in os.environ.items() if name not in _OF_MAKE} | variables


def make(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make to its end."""
    return subprocess.run(
        command(*words),
        cwd=PROJECT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
