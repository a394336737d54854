"""What keeps a program of ours from starting."""

from __future__ import annotations


class StartupError(Exception):
    """A program cannot start. The message is one line that says what to change; the exit code is 2."""
