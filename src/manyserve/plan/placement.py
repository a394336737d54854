"""Placement: the choice of the models in each `models.json`: exact, sticky, and independent of the order of the input.

* The sum of declared memory on a shard is never above the limit of a pod. A homogeneous host has one shard.
* A placed model stays while it fits. On a heterogeneous host a model that grew past its shard keeps its entry until the
  new one fits. Waiting models follow by creation time, then uid, as soon as memory is free.
* A model that fits into the memory but not into `models.json`, which a ConfigMap bounds, is not placed.
* While a server does not unload a removed model, its memory is not free. No new model is placed on its shard, and a
  placed one that grew keeps its entry. A model of the same name may come back.
* A host with an invalid spec takes no new model and keeps the placed ones, since its pods still run with the previous
  spec.

`plan.candidates` names the models that may be placed, and `plan.sharding` assigns their copies to shards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import CONTENT_RULES, Entry, EntrySpec
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.candidates import Candidates, candidates_of
from manyserve.plan.memory import declared_bytes, declared_or_zero, memory_limit
from manyserve.plan.model_config import AT_MOST, models_beyond_limit
from manyserve.plan.sharding.assign import Assignment, assign
from manyserve.plan.sharding.bounds import bounds_of, copies_of
from manyserve.plan.sharding.sentences import memory_errors, unload_errors
from manyserve.plan.sharding.shard import Bounds, Demand, Shard

NONE_BLOCKED: Mapping[str, str] = {}


@dataclass(frozen=True)
class Placement:
    """Entries of each shard by model, and sentences about the models that wait."""

    shards: Mapping[int, Mapping[str, Entry]] = field(default_factory=dict)
    insufficient_memory: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that wait for memory."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models beyond the size limit of `models.json`."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that are not placed because of an invalid spec."""
    waiting_for_unload: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that wait until the server has unloaded removed models."""
    waiting_copies: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that are placed with fewer copies than they need."""
    copies: Mapping[str, int] = field(default_factory=dict)
    """Copies that each model needs; empty on a homogeneous host, and while the host has an invalid spec."""
    used: int = 0
    limit: int = 0

    @cached_property
    def placed(self) -> Mapping[str, Entry]:
        """One entry of each placed model."""
        if len(self.shards) == 1:
            return next(iter(self.shards.values()))
        return {name: entry for index in sorted(self.shards) for name, entry in self.shards[index].items()}

    @cached_property
    def entries(self) -> Mapping[str, Mapping[int, Entry]]:
        """Entries by model and shard."""
        entries: dict[str, dict[int, Entry]] = {}
        for index in sorted(self.shards):
            for name, entry in self.shards[index].items():
                entries.setdefault(name, {})[index] = entry
        return entries


@dataclass(frozen=True)
class Sizing:
    """Decisions about the size of a heterogeneous host that were made before its placement."""

    scaled: Mapping[str, int] = field(default_factory=dict)
    """Copies by model, for models that are scaled."""
    draining: int | None = None
    """The shard that is emptied."""


UNSIZED = Sizing()


def entry_of(model: TrainedModel, content_rules: int | None = CONTENT_RULES) -> Entry:
    """Return the model's entry in `models.json`."""
    spec = model.spec.model
    return Entry(
        model_name=model.metadata.name,
        model_spec=EntrySpec(
            storage_uri=spec.storage_uri,
            framework=spec.framework,
            memory=spec.memory,
            digest=spec.digest,
            refresh_interval=spec.refresh_interval,
            content_rules=content_rules,
        ),
    )


def _newest(model: TrainedModel, before: Entry) -> Entry:
    """Return the new entry of a placed model. The same files stay under the content rules of their first placement."""
    entry = entry_of(model)
    return entry if before.digest != entry.digest else entry_of(model, before.model_spec.content_rules)


def place(
    host: InferenceService,
    models: Collection[TrainedModel],
    shards: Mapping[int, Shard],
    config: ServingConfig,
    unparsable: Collection[str] = (),
    blocked_claims: Mapping[str, str] = NONE_BLOCKED,
    sizing: Sizing = UNSIZED,
) -> Placement:
    """Return the placement on the shards of a host.

    `unparsable` names models that exist and do not parse: their entries stay as they are, while they fit. The same
    holds for models that became invalid: their previous version stays loaded. `blocked_claims` has the sentences about
    claims that are not for new models.
    """
    held = {name: entry for index in sorted(shards, reverse=True) for name, entry in shards[index].entries.items()}
    by_name = {model.metadata.name: model for model in models}
    changed = _changed(by_name, shards)
    outdated = {name for _, name in changed}
    candidates = candidates_of(host, by_name, held, outdated, config, blocked_claims)
    bounds = bounds_of(host)
    demands, unreadable = _demands(candidates, held, outdated, bounds, sizing.scaled)
    demands |= _staying(held, {*unparsable, *candidates.staying}, shards, bounds)
    newest = {
        (index, name): _newest(by_name[name], entry)
        for (index, name), entry in changed.items()
        if name in candidates.models and name in demands
    }
    readable = _readable(shards, newest)
    newest = {key: entry for key, entry in newest.items() if key[1] in readable[key[0]].entries}
    assignment = assign(demands, readable, bounds, newest, sizing.draining)
    return _placement(host, assignment, shards, candidates, unreadable)


def demands_of(
    host: InferenceService, models: Iterable[TrainedModel], shards: Mapping[int, Shard], scaled: Mapping[str, int]
) -> dict[str, Demand]:
    """Return the demands of the models that are placed, without a judgement of new ones."""
    held = {name: entry for shard in shards.values() for name, entry in shard.entries.items()}
    placed = {each.metadata.name: each for each in models if each.metadata.name in held}
    bounds = bounds_of(host)
    demands, _ = _demands(Candidates(placed, (), {}), held, (), bounds, scaled)
    return _staying(held, held, shards, bounds) | demands


def _changed(models: Mapping[str, TrainedModel], shards: Mapping[int, Shard]) -> dict[tuple[int, str], Entry]:
    """Return the entries that differ from their model, by shard and model."""
    return {
        (index, name): entry
        for index, shard in shards.items()
        for name, entry in shard.entries.items()
        if name in models and not _is_unchanged(entry, models[name])
    }


def _is_unchanged(entry: Entry, model: TrainedModel) -> bool:
    held, spec = entry.model_spec, model.spec.model
    return (
        held.storage_uri == spec.storage_uri
        and held.framework == spec.framework
        and held.memory == spec.memory
        and held.digest == spec.digest
        and held.refresh_interval == spec.refresh_interval
    )


def _demands(
    candidates: Candidates,
    held: Mapping[str, Entry],
    outdated: Collection[str],
    bounds: Bounds,
    scaled: Mapping[str, int],
) -> tuple[dict[str, Demand], dict[str, str]]:
    """Return the demands of the candidates, and the sentences about those with an unreadable memory."""
    demands: dict[str, Demand] = {}
    unreadable: dict[str, str] = {}
    for name, model in candidates.models.items():
        try:
            memory = declared_bytes(model.spec.model.memory)
        except ValueError as error:
            unreadable[name] = f"spec.model.memory: {error}"
            continue
        before, meta = held.get(name), model.metadata
        entry = before if before is not None and name not in outdated else _new_entry(model, before)
        age = (int(before is None), meta.creation_timestamp, meta.uid)
        demands[name] = Demand(entry, memory, copies_of(model, scaled, bounds), age)
    return demands, unreadable


def _new_entry(model: TrainedModel, before: Entry | None) -> Entry:
    return entry_of(model) if before is None else _newest(model, before)


def _staying(
    held: Mapping[str, Entry], names: Collection[str], shards: Mapping[int, Shard], bounds: Bounds
) -> dict[str, Demand]:
    """Return the demands of entries that stay as they are. They come first, since their models cannot be judged."""
    demands: dict[str, Demand] = {}
    for name in sorted(held.keys() & {*names}):
        copies = sum(name in shard.entries for shard in shards.values())
        age = (-1, "", name)
        demands[name] = Demand(held[name], declared_or_zero(held[name]), min(copies, bounds.most), age)
    return demands


def _readable(shards: Mapping[int, Shard], newest: Mapping[tuple[int, str], Entry]) -> dict[int, Shard]:
    """Return the shards without changed entries of an unreadable memory: these are written anew."""
    broken = {key for key in newest if declared_or_zero(shards[key[0]].entries[key[1]]) == 0}
    if not broken:
        return dict(shards)
    return {
        index: replace(
            shard, entries={name: entry for name, entry in shard.entries.items() if (index, name) not in broken}
        )
        for index, shard in shards.items()
    }


def _placement(
    host: InferenceService,
    assignment: Assignment,
    shards: Mapping[int, Shard],
    candidates: Candidates,
    unreadable: Mapping[str, str],
) -> Placement:
    """Return the placement with its sentences; a model beyond the size of a `models.json` is taken off it."""
    name, packing, waiting = (
        host.metadata.name,
        assignment.packing,
        assignment.waiting.keys() & candidates.models.keys(),
    )
    left_out = dict.fromkeys(_left_out(assignment, shards), _full_error(name))
    grown = {each for _, each in packing.outdated}
    unloads = unload_errors(name, packing, waiting | grown)
    without = {each for each in waiting | grown if not packing.firm(each)} - unloads.keys()
    is_heterogeneous = host.spec.predictor.is_heterogeneous
    sentences = memory_errors(name, packing, (waiting | grown) - unloads.keys(), heterogeneous=is_heterogeneous)
    errors = {**unreadable, **{each: sentences[each] for each in sorted(without)}}
    errors |= {each: sentence for each, sentence in unloads.items() if packing.holders.get(each)}
    further = {each: sentence for each, sentence in sentences.items() if each in waiting - without}
    return Placement(
        shards=packing.placed,
        insufficient_memory=errors,
        left_out={each: error for each, error in left_out.items() if not packing.holders.get(each)},
        invalid=candidates.invalid,
        waiting_for_unload=unloads,
        waiting_copies=further | {each: error for each, error in left_out.items() if packing.holders.get(each)},
        copies={each: demand.copies for each, demand in packing.demands.items()} if is_heterogeneous else {},
        used=sum(packing.used.values()),
        limit=packing.bounds.limit * len(packing.shards),
    )


def _left_out(assignment: Assignment, shards: Mapping[int, Shard]) -> Iterator[str]:
    """Strike the entries beyond the size of their `models.json`, and yield their models."""
    for index, entries in assignment.placed.items():
        held = shards[index].entries if index in shards else {}
        for name in models_beyond_limit(entries, held):
            assignment.packing.strike(index, name)
            yield name


def _full_error(host: str) -> str:
    return (
        f"{host} is full: the list of its models, models.json, holds at most {AT_MOST}; "
        "place the model on another InferenceService"
    )


def keep_placed(
    host: InferenceService,
    models: Iterable[TrainedModel],
    shards: Mapping[int, Shard],
    unparsable: Collection[str] = (),
) -> Placement:
    """Return the placement of a host with an invalid spec: the entries stay, except those of deleted models."""
    staying = {model.metadata.name for model in models if not model.metadata.deletion_timestamp} | set(unparsable)
    placed = {
        index: {name: entry for name, entry in shard.entries.items() if name in staying}
        for index, shard in shards.items()
    }
    used = sum(declared_or_zero(entry) for entries in placed.values() for entry in entries.values())
    return Placement(placed, used=used, limit=memory_limit(host) * len(shards))
