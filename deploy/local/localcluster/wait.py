"""Poll for a state, with a limit and a sentence at the limit; never a fixed delay."""

import time
from collections.abc import Callable
from typing import TypeVar

from localcluster.say import Failure

T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], limit: float = 60, pause: float = 0.05) -> T:
    """Return the first answer of `look` that is true; fail when `limit` seconds have passed."""
    end = time.monotonic() + limit
    while True:
        if answer := look():
            return answer
        if time.monotonic() > end:
            raise Failure(f"gave up after {limit:.0f} s waiting for {what}")
        time.sleep(pause)
