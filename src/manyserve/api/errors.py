"""Errors that keep a program from starting."""

from __future__ import annotations

SHOWN = 200
"""Characters of a wrong value that a message repeats."""


class StartupError(Exception):
    """A program cannot start. The message is one line that says what to change; the exit code is 2."""


def invalid_variable(name: str, value: str, allowed: str) -> str:
    """Return the one form of error for an environment variable; `allowed` begins with `must`."""
    shown = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return f"{name}={shown!r} is not valid: it {allowed}"
