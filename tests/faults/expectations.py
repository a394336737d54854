"""Expectations on the history of a namespace: the promises O1 to O7, checked on every revision of every object.

Each expectation is a pure function that returns a sentence for each violation. The first ones hold at any time.
`final_problems` checks the end of the history, and is empty once everything is right (O1, O2 and O5).
They know the API types only, and nothing of the operator's decisions.
"""

from __future__ import annotations

import base64
import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from manyserve.api import modelconfig
from manyserve.api.quantity import parse_memory
from tests.support.kserve_forms import REASON

Manifest = dict[str, Any]
FOREIGN = "example.com/foreign"
"""Label of foreign objects, which only their owner may change."""
MOST_EVENTS = 25


@dataclass(frozen=True)
class Revision:
    """One version of an object."""

    version: int
    at: float
    """Time of the event, in seconds of a monotonic clock."""
    kind: str
    name: str
    thing: Manifest
    gone: bool = False
    """Whether the object was deleted; this is its last revision."""


History = Sequence[Revision]


def always(history: History) -> list[str]:
    """Return the violations of expectations that hold at any time (O3, O4, O7, no flood of Events)."""
    checks = (memory_is_never_above_the_limit, placed_models_stay, foreign_objects_stay_unchanged, events_are_few)
    return [sentence for check in checks for sentence in check(history)]


def memory_is_never_above_the_limit(history: History) -> list[str]:
    """O3: in each revision of `models.json`, the declared memory is at most the limit of the host at that time."""
    return [
        f"revision {config.version} of {config.name} holds {used} bytes, its host has {limit}"
        for config, world in _configs(history)
        if (limit := _limit(world, host_of(config.name)))
        and (used := sum(parse_memory(each.model_spec.memory) for each in entries(config.thing))) > limit
    ]


def placed_models_stay(history: History) -> list[str]:
    """O4: no model is dropped while the model and its host exist unchanged."""
    problems = []
    before: dict[str, tuple[frozenset[str], dict[str, tuple[Any, ...] | None]]] = {}
    for config, world in _configs(history):
        names = frozenset(each.model_name for each in entries(config.thing))
        held, identities = before.get(config.name, (frozenset(), {}))
        host = host_of(config.name)
        problems += [
            f"revision {config.version} of {config.name} drops {name}, which nobody changed"
            for name in sorted(held - names)
            if identities[name] is not None and identities[name] == _identity(world, host, name)
        ]
        before[config.name] = names, {name: _identity(world, host, name) for name in names}
    return problems


def foreign_objects_stay_unchanged(history: History) -> list[str]:
    """O7: an object with the label `FOREIGN` has one revision, the first."""
    seen = Counter(
        (each.kind, each.name)
        for each in history
        if FOREIGN in (each.thing["metadata"].get("labels") or {}) and not each.gone
    )
    return [f"{kind} {name} is foreign, and has {count} revisions" for (kind, name), count in seen.items() if count > 1]


def events_are_few(history: History) -> list[str]:
    """No object has more Events than the limit of the operator."""
    last = {each.name: each.thing for each in history if each.kind == "Event"}
    about = (thing["involvedObject"] for thing in last.values() if _is_ours(thing))
    events = Counter((each["kind"], each["name"], each.get("uid")) for each in about)
    return [f"{kind} {name} has {count} Events" for (kind, name, _), count in events.items() if count > MOST_EVENTS]


def models_outlive_their_host(history: History, deletions: Iterable[tuple[float, str]]) -> list[str]:
    """No model is deleted while the host that placed it exists. `deletions` are the operator's, with their times."""
    problems = []
    for at, name in deletions:
        world = latest([each for each in history if each.at <= at])
        placed_by = (world.get(("TrainedModel", name), {}).get("status") or {}).get("placedBy") or {}
        host = world.get(("InferenceService", placed_by.get("name", "")))
        if host is not None and host["metadata"]["uid"] == placed_by.get("uid"):
            problems.append(f"the operator deleted {name}, and its host {placed_by['name']} exists")
    return problems


def writes_after(history: History, since: float) -> list[str]:
    """O6: return the writes after a time at which everything was right and no user changed anything."""
    return [
        f"{each.kind} {each.name} was written again, revision {each.version}"
        for each in written(history)
        if each.at > since
    ]


def written(history: History) -> list[Revision]:
    """Return the history without Events of other programs, such as the scheduler's, which it repeats."""
    return [each for each in history if each.kind != "Event" or _is_ours(each.thing)]


def final_problems(history: History) -> list[str]:
    """O1, O2, O5: return the problems at the end of the history."""
    world = {key: thing for key, thing in latest(history).items() if not _is_unmanaged(thing)}
    hosts = [name for kind, name in world if kind == "InferenceService"]
    models = {name: thing for (kind, name), thing in world.items() if kind == "TrainedModel"}
    problems = [sentence for host in hosts for sentence in _placement(world, host, models)]
    for host in hosts:
        problems += _stale("InferenceService", host, world["InferenceService", host], ready=True)
    for name, model in models.items():
        placed = any(each.model_name == name for each in entries(world.get(("ConfigMap", _config(model)), {})))
        problems += _stale("TrainedModel", name, model, ready=placed)
    return problems


def latest(history: History) -> dict[tuple[str, str], Manifest]:
    """Return the objects that exist at the end, by kind and name."""
    world: dict[tuple[str, str], Manifest] = {}
    for revision in history:
        _apply(world, revision)
    return world


def entries(config: Manifest) -> tuple[modelconfig.Entry, ...]:
    """Return the entries of a ConfigMap's `models.json`."""
    packed = (config.get("binaryData") or {}).get(f"{modelconfig.KEY}.gz")
    text = (config.get("data") or {}).get(modelconfig.KEY)
    if packed:
        return modelconfig.parse(gzip.decompress(base64.b64decode(packed)))
    return modelconfig.parse(text) if text else ()


def host_of(config: str) -> str:
    """Return the host of a ConfigMap `modelconfig-HOST-0`."""
    return config.removeprefix("modelconfig-").rpartition("-")[0]


def _configs(history: History) -> Iterator[tuple[Revision, dict[tuple[str, str], Manifest]]]:
    """Yield each revision of a `models.json`, with the other objects at that time."""
    world: dict[tuple[str, str], Manifest] = {}
    for revision in _in_order(history):
        _apply(world, revision)
        if revision.kind == "ConfigMap" and revision.name.startswith("modelconfig-") and not revision.gone:
            yield revision, world


def _in_order(history: Iterable[Revision]) -> list[Revision]:
    """Sort by resourceVersion, since watches of different kinds are not ordered with each other."""
    return sorted(history, key=lambda each: each.version)


def _apply(world: dict[tuple[str, str], Manifest], each: Revision) -> None:
    if each.gone:
        world.pop((each.kind, each.name), None)
    else:
        world[each.kind, each.name] = each.thing


def _limit(world: dict[tuple[str, str], Manifest], host: str) -> int:
    """Return the memory limit of a host in bytes, 0 when it does not exist."""
    manifest = world.get(("InferenceService", host))
    if manifest is None:
        return 0
    return parse_memory(manifest["spec"]["predictor"]["triton"]["resources"]["limits"]["memory"])


def _identity(world: dict[tuple[str, str], Manifest], host: str, name: str) -> tuple[Any, ...] | None:
    """Return uids and generations of a model and its host; None when either is absent or being deleted."""
    objects = [world.get(("TrainedModel", name)), world.get(("InferenceService", host))]
    if any(each is None or each["metadata"].get("deletionTimestamp") for each in objects):
        return None
    return tuple(
        value for each in objects if each for value in (each["metadata"]["uid"], each["metadata"]["generation"])
    )


def _is_ours(event: Manifest) -> bool:
    return "manyserve" in ((event.get("source") or {}).get("component"), event.get("reportingComponent"))


def _is_unmanaged(thing: Manifest) -> bool:
    return REASON in (thing["metadata"].get("annotations") or {})


def _config(model: Manifest) -> str:
    return f"modelconfig-{model['spec']['inferenceService']}-0"


def _placement(world: dict[tuple[str, str], Manifest], host: str, models: dict[str, Manifest]) -> list[str]:
    """O1 and O2: a placed model exists in its present form, and a model that is not placed does not fit."""
    config = world.get(("ConfigMap", f"modelconfig-{host}-0"))
    if config is None:
        return [f"{host} has no models.json"]
    held = {each.model_name: each.model_spec for each in entries(config)}
    free = _limit(world, host) - sum(parse_memory(each.memory) for each in held.values())
    problems = [f"{name} is placed and does not exist" for name in held if name not in models]
    for name, model in models.items():
        wanted = model["spec"]["model"]
        if model["spec"]["inferenceService"] != host:
            continue
        if name not in held and parse_memory(wanted["memory"]) <= free:
            problems.append(f"{name} would fit and is not placed")
        if name in held and held[name].storage_uri != wanted["storageUri"]:
            problems.append(f"{name} is placed as it was before")
    return problems


def _stale(kind: str, name: str, thing: Manifest, *, ready: bool) -> list[str]:
    """O5: the status is about the newest spec, and `Ready` is correct."""
    status = thing.get("status") or {}
    statuses = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    if status.get("observedGeneration") != thing["metadata"]["generation"]:
        return [f"the status of {kind} {name} is about an older spec"]
    if (statuses.get("Ready") == "True") is not ready:
        return [f"{kind} {name} says Ready={statuses.get('Ready')}, and {'is' if ready else 'is not'} placed"]
    return []
