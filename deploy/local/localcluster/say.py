"""Output for the user: steps with their duration, and sentences instead of tracebacks.

All of it goes to standard error, because `env` writes shell commands to standard output. A `Refusal` means that the
machine or the request does not allow the action (exit 2). A `Failure` means that a step failed that should work (exit
1).
"""

import contextlib
import sys
import time
from collections.abc import Iterator


class Sentence(Exception):
    """Ends the program with a text for the user."""

    code = 1


class Refusal(Sentence):
    """The request cannot be met here; nothing was changed."""

    code = 2


class Failure(Sentence):
    """A step failed that should work."""


def say(text: str) -> None:
    """Print one line."""
    print(text, file=sys.stderr, flush=True)


class _Open:
    """The steps that have begun: whether the last output is a step without its end."""

    depth = 0
    line = False


@contextlib.contextmanager
def step(what: str, note: str = "") -> Iterator[None]:
    """Print `what`, and its duration when the block ends; steps within it are indented."""
    start = time.monotonic()
    break_line = "\n" if _Open.line else ""
    title = f"{'  ' * _Open.depth}{what}"
    print(f"{break_line}{title}{f' ({note})' if note else ''} ... ", end="", file=sys.stderr, flush=True)
    _Open.depth, _Open.line = _Open.depth + 1, True
    end = "failed"
    try:
        yield
        end = f"{time.monotonic() - start:.1f} s"
    finally:
        say(end if _Open.line else f"{title} ... {end}")
        _Open.depth, _Open.line = _Open.depth - 1, False
