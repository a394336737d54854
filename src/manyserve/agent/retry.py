"""Retries of failed models, and refreshes of loaded ones. Pure.

Retries have exponential backoff with jitter and no limit on their number. A failure that a retry is not expected to
cure is retried too, at least every 30 s (`BACKOFF_PERMANENT`), since files do appear under a URI that had none.

A suspect, a model that the server was loading when it ended, is loaded last and alone. From the second end on it is in
quarantine: its next load waits for `QUARANTINE`. Its delays exceed ten minutes, after which the kubelet restarts a
container without a delay of its own.

A refresh lists the source of a loaded model again, every `refreshInterval`. A failed refresh does not affect the
loaded model; the next refresh is then an ordinary retry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Self

from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import SHORTEST_REFRESH, parse_duration
from manyserve.backoff import Backoff

BACKOFF = Backoff(base=1.0, cap=60.0)
BACKOFF_PERMANENT = Backoff(base=1.0, cap=30.0)
QUARANTINE = Backoff(base=1200.0, cap=4800.0)
NEVER = float("inf")


class Stage(StrEnum):
    """The stage that failed."""

    DOWNLOAD = "download"
    LOAD = "load"
    REMOVE = "remove"


class Unusable(NamedTuple):
    """Downloaded files that cannot be used. They are not downloaded again while nothing of this changes."""

    fingerprint: str
    memory: str | int
    """The declared memory, under which they were refused."""
    message: str
    reason: str
    """The label of the metric."""


@dataclass(frozen=True, slots=True)
class RetryState:
    """Result of the work for one model and one digest, kept in memory for retries."""

    digest: str
    """Digest of the spec; empty for the removal."""
    failed: Stage | None = None
    failures: int = 0
    message: str = ""
    permanent: bool = False
    refused: bool = False
    """The server rejected the files."""
    previous_still_loaded: bool = False
    """True if the failed load was attempted once: a READY model is then still the previous version."""
    ends: int = 0
    """Number of loads of these files during which the server ended. Only a successful load clears it."""
    is_slow: bool = False
    """The last download failed because it was slow. The next one begins in a slow slot."""
    is_unversioned: bool = False
    """The source names no versions, so that a refresh notices another size only."""
    missing_step: str = ""
    """The step that an ensemble lacks. The next try comes at once when the step is loaded."""
    not_before: float = 0.0
    """The monotonic time of the next try."""
    next_try: str | None = None
    """The same as a timestamp of RFC 3339."""
    rollback_not_before: float = 0.0
    """The monotonic time of the next rollback, reload of the previous version, or cleanup."""
    staged: str = ""
    """The fingerprint of new files that stay in staging since the server rejected them."""
    unusable: Unusable | None = None
    """The last files that were downloaded and cannot be used."""
    checked_at: float | None = None
    """The monotonic time of the last listing of the source."""
    download_seconds: float | None = None
    load_seconds: float | None = None

    def for_digest(self, digest: str) -> Self:
        """Return this state if it belongs to the digest, else an empty one."""
        return self if self.digest == digest else type(self)(digest)

    def cleared(self) -> Self:
        """Return the state without the failure."""
        return replace(
            self,
            failed=None,
            failures=0,
            message="",
            permanent=False,
            refused=False,
            previous_still_loaded=False,
            is_slow=False,
            missing_step="",
            not_before=0.0,
            next_try=None,
        )


def quarantine_seconds(ends: int, fraction: float) -> float:
    """Return the delay before the next load of a model, after so many ends of the server; none after the first."""
    return QUARANTINE.delay(ends - 1, fraction) if ends > 1 else 0.0


def backoff(*, permanent: bool) -> Backoff:
    """Return the backoff of a failure; `permanent`: a retry alone is not expected to cure it."""
    return BACKOFF_PERMANENT if permanent else BACKOFF


@lru_cache(maxsize=1024)
def refresh_interval(text: str | None) -> float:
    """Return the seconds between two refreshes; infinity for no interval, or for an invalid one."""
    try:
        return max(SHORTEST_REFRESH, parse_duration(text)) if text else NEVER
    except ValueError:
        return NEVER


def has_refresh(entry: Entry) -> bool:
    """Return whether the model has a refresh interval."""
    return refresh_interval(entry.model_spec.refresh_interval) < NEVER


def next_refresh(entry: Entry, retry: RetryState | None) -> float:
    """Return the monotonic time of the next refresh of a loaded model; 0 if there was none before."""
    interval = refresh_interval(entry.model_spec.refresh_interval)
    if interval == NEVER:
        return NEVER
    if retry is None or retry.digest != entry.digest or retry.checked_at is None or retry.failed:
        return 0.0
    return retry.checked_at + interval
