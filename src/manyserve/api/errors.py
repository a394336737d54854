"""Startup errors of all programs."""

from __future__ import annotations

SHOWN = 200
"""Characters of a wrong value that a message quotes."""


class StartupError(Exception):
    """A program cannot start. The message is one line and names the remedy; the exit code is 2."""


def invalid_variable(name: str, value: str, allowed: str) -> str:
    """Return the message about an invalid environment variable; `allowed` begins with `must`."""
    shown = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return f"{name}={shown!r} is not valid: it {allowed}"
