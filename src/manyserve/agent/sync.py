"""The decision: what is wanted, on disk and on the server in; the steps of each model out. Pure.

It is level-triggered: nothing here asks what happened, only what is. Run again after any interruption, it
says what is still missing; when all is as wanted, it says nothing. The rules that keep the truth:

- a model counts as loaded if the server's index says READY *and* the disk remembers a load of these files;
- files are never touched while the server is reading them (LOADING, UNLOADING);
- files are deleted after the server let go of them, and nothing is deleted while the server does not answer;
- after a failed load the source is looked at again, since repaired files may lie there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from manyserve.agent.retry import Memory, Stage
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


@dataclass(frozen=True, slots=True)
class ServerModel:
    """A model as the server's index lists it."""

    state: ServerState = ServerState.ABSENT
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A model's folder. Without a digest it is not known to be whole; `loaded`: the server has taken these files."""

    digest: str = ""
    loaded: bool = False


@dataclass(frozen=True)
class Seen:
    """Everything known at one moment. The index is None while the server does not answer."""

    wanted: Mapping[str, Entry]
    disk: Mapping[str, OnDisk]
    index: Mapping[str, ServerModel] | None
    memory: Mapping[str, Memory] = field(default_factory=dict)


ABSENT = ServerModel()
GONE = ServerModel(ServerState.UNAVAILABLE, "unloaded")
_IN_TRANSIT = {ServerState.LOADING, ServerState.UNLOADING}


def is_loaded(name: str, digest: str, seen: Seen) -> bool:
    """Tell whether the server answers for the model with the files of this digest."""
    server = (seen.index or {}).get(name, ABSENT)
    return server.state is ServerState.READY and seen.disk.get(name) == OnDisk(digest, loaded=True)


def plan(seen: Seen, now: float) -> dict[str, tuple[Step, ...]]:
    """Return the ordered steps of each model that has any."""
    names = {*seen.wanted, *seen.disk, *(seen.index or {})}
    steps = {name: steps_for(name, seen, now) for name in sorted(names)}
    return {name: todo for name, todo in steps.items() if todo}


def steps_for(name: str, seen: Seen, now: float) -> tuple[Step, ...]:
    """Return what is to be done for one model now."""
    entry = seen.wanted.get(name)
    digest = entry.digest if entry else ""
    memory = seen.memory.get(name, Memory(digest)).about(digest)
    server = None if seen.index is None else seen.index.get(name, ABSENT)
    if now < memory.not_before or (server and server.state in _IN_TRANSIT):
        return ()
    disk = seen.disk.get(name)
    if entry is None:
        return _drop(disk, server)
    return _bring(digest, disk, server, memory)


def _bring(digest: str, disk: OnDisk | None, server: ServerModel | None, memory: Memory) -> tuple[Step, ...]:
    """Return the steps towards a wanted model."""
    have = disk is not None and disk.digest == digest
    if server is None:  # it may answer by the time the files are here; if not, the load is left out
        return () if have else (Step.FETCH, Step.LOAD)
    if have and disk == OnDisk(digest, loaded=True) and server.state is ServerState.READY:
        return ()
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


def next_look(seen: Seen, now: float) -> float:
    """Return the seconds until a failed model may be tried again; infinity when none waits."""
    waits = [memory.not_before - now for memory in seen.memory.values() if memory.not_before > now]
    return min(waits, default=float("inf"))
