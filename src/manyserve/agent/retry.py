"""Retries of failed models: exponential backoff with jitter, without a limit on their number.

A failure that a retry is not expected to cure is retried too, at least every 30 s (`BACKOFF_PERMANENT`), since
files do appear under a URI that had none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from manyserve.backoff import Backoff

BACKOFF = Backoff(base=1.0, cap=60.0)
BACKOFF_PERMANENT = Backoff(base=1.0, cap=30.0)


class Stage(StrEnum):
    """What failed."""

    DOWNLOAD = "download"
    LOAD = "load"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class RetryState:
    """What the agent remembers of its work for one model and one digest."""

    digest: str
    """What it is about; the empty string is the removal."""
    failed: Stage | None = None
    failures: int = 0
    message: str = ""
    permanent: bool = False
    refused: bool = False
    """The server refused the files."""
    previous_still_loaded: bool = False
    """It was asked to take them once only, so that, if it answers, it is with the version before."""
    not_before: float = 0.0
    """The monotonic time of the next try."""
    next_try: str | None = None
    """The same for people, RFC 3339."""
    rollback_not_before: float = 0.0
    """The monotonic time before which putting back, reviving and tidying up are not tried again."""
    staged: str = ""
    """The fingerprint of new files that wait in staging since the server did not take them."""
    digest_mismatch: tuple[str, str] | None = None
    """The fingerprint of a source whose content is not that of the digest asked for, and the sentence on it."""
    checked_at: float | None = None
    """The monotonic time of the last look at the source."""
    download_seconds: float | None = None
    load_seconds: float | None = None

    def for_digest(self, digest: str) -> Self:
        """Return the memory if it is about this digest, else an empty one."""
        return self if self.digest == digest else type(self)(digest)

    def cleared(self) -> Self:
        """Return the memory without the failure."""
        return replace(
            self,
            failed=None,
            failures=0,
            message="",
            permanent=False,
            refused=False,
            previous_still_loaded=False,
            not_before=0.0,
            next_try=None,
        )


def backoff(*, permanent: bool) -> Backoff:
    """Return the backoff of a failure; `permanent`: a retry alone is not expected to cure it."""
    return BACKOFF_PERMANENT if permanent else BACKOFF
