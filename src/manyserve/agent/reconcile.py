"""Pure reconciliation: from the desired models, the disk and the server's index to the steps of each model.

It is level-triggered: it uses the present state, never past events. After any interruption it returns the missing
steps, and none when all is as desired. Invariants:

- a model counts as loaded if the server's index says READY *and* the disk has a LOADED marker of these files;
- files of a desired model are never touched while the server reads them (LOADING, UNLOADING);
- files of a removed model are deleted after their unload, or once the unload is overdue, whatever the server's state;
- the previous version stays until the server loaded the new one, and is restored when the server rejects that;
- after a failed load the source is listed again, since it may hold repaired files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from manyserve.agent.retry import RetryState, Stage, has_refresh, next_refresh
from manyserve.api.modelconfig import Entry


class ServerState(StrEnum):
    """The state of a model in the server's index. ABSENT: not listed, or never loaded."""

    ABSENT = ""
    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class Step(StrEnum):
    """One step of a job. The value is its verb in log messages."""

    FETCH = "fetch"
    LOAD = "load"
    LEAVE = "take from the routers"
    """Wait until no router sends requests for the model."""
    UNLOAD = "unload"
    DELETE = "delete"
    ROLLBACK = "roll back"
    """Restore the files of the previous version."""
    RELOAD_PREVIOUS = "reload the previous version of"
    """Load the previous version after the server lost it, while the new one fails."""
    CLEAR = "clear the files of"
    """Delete the files of a removed model that the server has not unloaded in time."""
    CLEANUP = "clean up"
    """Remove the leftovers of an update."""


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model as the server's index lists it."""

    state: ServerState = ServerState.ABSENT
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model's folder. Without a digest it may be incomplete; `loaded`: the server has loaded these files.

    `kept` is the digest of the previous version. It is kept until the server has loaded these files.
    """

    digest: str = ""
    loaded: bool = False
    kept: str = ""


@dataclass(frozen=True)
class Observed:
    """Snapshot of the agent's state. The index is None while the server does not answer."""

    desired: Mapping[str, Entry]
    disk: Mapping[str, OnDisk]
    index: Mapping[str, ServerModel] | None
    retries: Mapping[str, RetryState] = field(default_factory=dict)
    overdue: frozenset[str] = frozenset()
    """Removed models with files that the server should have unloaded by now."""
    has_routers: bool = False
    """Requests come by routers, which a model leaves before it is unloaded."""


ABSENT = ServerModel()
NOTHING = OnDisk()
GONE = ServerModel(ServerState.UNAVAILABLE, "unloaded")
_NO_RETRY = RetryState("")
HELD = {ServerState.READY, ServerState.LOADING, ServerState.UNLOADING}
"""States of a model that takes memory of the server."""
_IN_TRANSIT = {ServerState.LOADING, ServerState.UNLOADING}


def is_loaded(name: str, digest: str, observed: Observed) -> bool:
    """Return whether the server answers with files of this digest, including those from before a refresh."""
    disk = observed.disk.get(name, NOTHING)
    return is_ready(name, observed) and ((disk.digest == digest and disk.loaded) or disk.kept == digest)


def is_ready(name: str, observed: Observed) -> bool:
    """Return whether the server answers for the model, with any version of its files."""
    return (observed.index or {}).get(name, ABSENT).state is ServerState.READY


def has_loaded_files(name: str, observed: Observed) -> bool:
    """Return whether the model is desired, and the server answers with the files on disk."""
    return name in observed.desired and observed.disk.get(name, NOTHING).loaded and is_ready(name, observed)


def plan(observed: Observed, now: float) -> dict[str, tuple[Step, ...]]:
    """Return the ordered steps of each model that has any."""
    names = {*observed.desired, *observed.disk, *(observed.index or {})}
    steps = {name: steps_for(name, observed, now) for name in sorted(names)}
    return {name: missing for name, missing in steps.items() if missing}


def steps_for(name: str, observed: Observed, now: float) -> tuple[Step, ...]:
    """Return the ordered steps of one model that are due now."""
    entry, disk, stored = observed.desired.get(name), observed.disk.get(name), observed.retries.get(name)
    server = None if observed.index is None else observed.index.get(name, ABSENT)
    retry = (stored or _NO_RETRY).for_digest(entry.digest if entry else "")
    if disk and name in observed.overdue:
        return (Step.CLEAR,)
    if server and server.state in _IN_TRANSIT:
        return ()
    if entry and disk and server and now >= retry.rollback_not_before:
        repair = _repair_step(entry, disk, stored or _NO_RETRY, ready=server.state is ServerState.READY)
        if repair:
            return (repair,)
    if now < retry.not_before and not (retry.missing_step and has_loaded_files(retry.missing_step, observed)):
        return ()
    return _steps_to_load(entry, disk, server, retry, now) if entry else _steps_to_remove(disk, server, observed)


def _repair_step(entry: Entry, disk: OnDisk, stored: RetryState, *, ready: bool) -> Step | None:
    """Return the step after a failed or abandoned update; it does not wait for the next retry."""
    retry = stored.for_digest(entry.digest)
    is_current = disk.digest == entry.digest
    refused = retry.failed is Stage.LOAD and (retry.refused or not ready)
    if disk.kept and disk.loaded:
        return Step.CLEANUP
    if disk.kept and (not is_current or refused):
        return Step.ROLLBACK
    is_about_newer = not is_current or retry.staged or retry.failed is Stage.DOWNLOAD  # than the files on disk
    if not disk.kept and disk.loaded and not ready and retry.failed and is_about_newer:
        return Step.RELOAD_PREVIOUS
    is_retried = retry.failed and has_refresh(entry)
    if is_current and disk.loaded and ready and (stored.staged or retry.failed) and not is_retried:
        return Step.CLEANUP
    return None


def _steps_to_load(
    entry: Entry, disk: OnDisk | None, server: ServerModel | None, retry: RetryState, now: float
) -> tuple[Step, ...]:
    """Return the steps towards a desired model."""
    is_current = disk is not None and disk.digest == entry.digest
    if server is None:  # it may answer after the download; if not, the job skips the load
        return () if is_current else (Step.FETCH, Step.LOAD)
    if is_current and disk and disk.loaded and server.state is ServerState.READY:
        return (Step.FETCH, Step.LOAD) if now >= next_refresh(entry, retry) else ()
    if is_current and retry.failed is not Stage.LOAD:
        return (Step.LOAD,)
    return (Step.FETCH, Step.LOAD)


def _steps_to_remove(disk: OnDisk | None, server: ServerModel | None, observed: Observed) -> tuple[Step, ...]:
    """Return the steps that remove a model that is not desired."""
    if server is None:
        return ()
    leave = (Step.LEAVE,) if observed.has_routers and server.state is ServerState.READY else ()
    is_held = server.state is ServerState.READY or (disk is not None and server not in (ABSENT, GONE))
    unload = (Step.UNLOAD,) if is_held else ()
    delete = (Step.DELETE,) if disk is not None else ()
    return leave + unload + delete


def next_check(observed: Observed, now: float) -> float:
    """Return the seconds until the next retry or refresh; infinity when there is none."""
    retries = (time for retry in observed.retries.values() for time in (retry.not_before, retry.rollback_not_before))
    refreshes = (next_refresh(entry, observed.retries.get(name)) for name, entry in observed.desired.items())
    return min((time - now for time in (*retries, *refreshes) if time > now), default=float("inf"))
