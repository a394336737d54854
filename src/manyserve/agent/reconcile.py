"""The decision: what is wanted, on disk and on the server in; the steps of each model out. Pure.

It is level-triggered: nothing here asks what happened, only what is. Run again after any interruption, it
says what is still missing; when all is as wanted, it says nothing. The rules that keep the truth:

- a model counts as loaded if the server's index says READY *and* the disk remembers a load of these files;
- files are never touched while the server is reading them (LOADING, UNLOADING);
- files are deleted after the server let go of them, and nothing is deleted while the server does not answer;
- the version before stays until the server took the new one; it is put back when the server refuses that;
- after a failed load the source is looked at again, since repaired files may lie there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from manyserve.agent import refreshing
from manyserve.agent.retry import RetryState, Stage
from manyserve.api.modelconfig import Entry


class ServerState(StrEnum):
    """The state of a model in the server's index. ABSENT: not listed, or never loaded."""

    ABSENT = ""
    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class Step(StrEnum):
    """One thing to do for a model."""

    FETCH = "fetch"
    LOAD = "load"
    UNLOAD = "unload"
    DELETE = "delete"
    ROLLBACK = "put back"
    """Put the files of the version before in their place again."""
    RELOAD_PREVIOUS = "revive"
    """Load the version before, which the server lost, while the new one fails: it is better than nothing."""
    CLEANUP = "tidy"
    """Remove what an update left behind."""


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model as the server's index lists it."""

    state: ServerState = ServerState.ABSENT
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model's folder. Without a digest it is not known to be whole; `loaded`: the server has taken these files.

    `kept` is the digest of the version before, if its files are kept: they are until the server has taken these.
    """

    digest: str = ""
    loaded: bool = False
    kept: str = ""


@dataclass(frozen=True)
class Observed:
    """Everything known at one moment. The index is None while the server does not answer."""

    desired: Mapping[str, Entry]
    disk: Mapping[str, OnDisk]
    index: Mapping[str, ServerModel] | None
    retries: Mapping[str, RetryState] = field(default_factory=dict)


ABSENT = ServerModel()
NOTHING = OnDisk()
GONE = ServerModel(ServerState.UNAVAILABLE, "unloaded")
_EMPTY = RetryState("")
_IN_TRANSIT = {ServerState.LOADING, ServerState.UNLOADING}


def is_loaded(name: str, digest: str, seen: Observed) -> bool:
    """Tell whether the server answers for the model with files of this digest, be they those from before a refresh."""
    disk = seen.disk.get(name, NOTHING)
    return is_ready(name, seen) and ((disk.digest == digest and disk.loaded) or disk.kept == digest)


def is_ready(name: str, seen: Observed) -> bool:
    """Tell whether the server answers for the model, with whatever files."""
    return (seen.index or {}).get(name, ABSENT).state is ServerState.READY


def plan(seen: Observed, now: float) -> dict[str, tuple[Step, ...]]:
    """Return the ordered steps of each model that has any."""
    names = {*seen.desired, *seen.disk, *(seen.index or {})}
    steps = {name: steps_for(name, seen, now) for name in sorted(names)}
    return {name: todo for name, todo in steps.items() if todo}


def steps_for(name: str, seen: Observed, now: float) -> tuple[Step, ...]:
    """Return what is to be done for one model now."""
    entry, disk, memory = seen.desired.get(name), seen.disk.get(name), seen.retries.get(name)
    server = None if seen.index is None else seen.index.get(name, ABSENT)
    about = (memory or _EMPTY).for_digest(entry.digest if entry else "")
    if server and server.state in _IN_TRANSIT:
        return ()
    if entry and disk and server and now >= about.rollback_not_before:
        mend = _mend(entry, disk, memory or _EMPTY, ready=server.state is ServerState.READY)
        if mend:
            return (mend,)
    if now < about.not_before:
        return ()
    return _bring(entry, disk, server, about, now) if entry else _drop(disk, server)


def _mend(entry: Entry, disk: OnDisk, memory: RetryState, *, ready: bool) -> Step | None:
    """Return what an update that failed, or was given up, still needs; it does not wait for the next try."""
    about = memory.for_digest(entry.digest)
    have = disk.digest == entry.digest
    refused = about.failed is Stage.LOAD and (about.refused or not ready)
    if disk.kept and disk.loaded:
        return Step.CLEANUP
    if disk.kept and (not have or refused):
        return Step.ROLLBACK
    newer = not have or about.staged or about.failed is Stage.DOWNLOAD  # what failed was about other files than these
    if not disk.kept and disk.loaded and not ready and about.failed and newer:
        return Step.RELOAD_PREVIOUS
    trying = about.failed and refreshing.is_wanted(entry)
    if have and disk.loaded and ready and (memory.staged or about.failed) and not trying:
        return Step.CLEANUP
    return None


def _bring(
    entry: Entry, disk: OnDisk | None, server: ServerModel | None, memory: RetryState, now: float
) -> tuple[Step, ...]:
    """Return the steps towards a wanted model."""
    have = disk is not None and disk.digest == entry.digest
    if server is None:  # it may answer by the time the files are here; if not, the load is left out
        return () if have else (Step.FETCH, Step.LOAD)
    if have and disk and disk.loaded and server.state is ServerState.READY:
        return (Step.FETCH, Step.LOAD) if now >= refreshing.next_refresh(entry, memory) else ()
    if have and memory.failed is not Stage.LOAD:
        return (Step.LOAD,)
    return (Step.FETCH, Step.LOAD)


def _drop(disk: OnDisk | None, server: ServerModel | None) -> tuple[Step, ...]:
    """Return the steps that remove a model that is not wanted."""
    if server is None:
        return ()
    held = server.state is ServerState.READY or (disk is not None and server not in (ABSENT, GONE))
    unload = (Step.UNLOAD,) if held else ()
    delete = (Step.DELETE,) if disk is not None else ()
    return unload + delete


def next_check(seen: Observed, now: float) -> float:
    """Return the seconds until something is due by the clock alone; infinity when nothing is."""
    retries = (time for memory in seen.retries.values() for time in (memory.not_before, memory.rollback_not_before))
    looks = (refreshing.next_refresh(entry, seen.retries.get(name)) for name, entry in seen.desired.items())
    return min((time - now for time in (*retries, *looks) if time > now), default=float("inf"))
