"""Named locks between processes: runs that build one program, or start one cluster, wait for each other."""

import contextlib
import fcntl
from collections.abc import Iterator

from localcluster.paths import cache
from localcluster.say import say


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a named lock; the kernel releases it when this process ends, also after a crash."""
    file = cache() / "lock" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {name}")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
