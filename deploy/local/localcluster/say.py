"""What the user reads: steps with the time they took, and sentences instead of tracebacks.

Everything goes to standard error, because `env` writes shell commands to standard output. A
`Refusal` means that the machine or the request does not allow what was asked (exit 2); a `Failure`
that something which should work did not (exit 1).
"""

import contextlib
import sys
import time
from collections.abc import Iterator


class Sentence(Exception):  # noqa: N818 - it is what the user reads, not an error of ours
    """Ends the program with a text for the user."""

    code = 1


class Refusal(Sentence):
    """What was asked cannot be done here; nothing was touched."""

    code = 2


class Failure(Sentence):
    """A step that should have worked did not."""


def say(text: str) -> None:
    """Print one line."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str, note: str = "") -> Iterator[None]:
    """Print `what`, and when the block ends how long it took."""
    start = time.monotonic()
    print(f"{what}{f' ({note})' if note else ''} ... ", end="", file=sys.stderr, flush=True)
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - start:.1f} s")
