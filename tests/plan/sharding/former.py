"""Oracle of the placement on one shard: the placement from before there were shards.

* The sum of declared memory is never above the host's limit.
* A placed model stays while it fits. A model that grew comes after those that did not. Waiting models follow by
  creation time, then uid, as soon as memory is free.
* Turning multi-model serving off places no new model and unloads none, because a mistake in the configuration must not
  empty a thousand servers. The same holds for a store that becomes forbidden.
* A model that fits into the memory but not into `models.json`, which a ConfigMap bounds, is not placed.
* While a server does not unload a removed model, its memory is not free. No new model is placed, and a placed one that
  grew keeps its entry. A model of the same name may come back.
* A model with an invalid spec, or on a claim that is not for new models, is not newly placed. A host with an invalid
  spec takes no new model and keeps the placed ones, since its pods still run with the previous spec.

A host has one shard today. The placement names the shard, so that there can be more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import attrgetter

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import CONTENT_RULES, Entry, EntrySpec
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.storageuri import claim_of
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.capacity import (
    framework_error,
    insufficient_memory,
    is_multi_model,
    top_consumers,
    waits_for_unload,
)
from manyserve.plan.memory import Usage, declared, declared_or_zero, fits, memory_limit
from manyserve.plan.model_config import AT_MOST, models_beyond_limit
from manyserve.plan.rules.allocation import copies_of_homogeneous
from manyserve.plan.rules.source import STORAGE_URI, source_error
from manyserve.plan.rules.validation import model_problems

NONE_BLOCKED: Mapping[str, str] = {}
_AGE = attrgetter("metadata.creation_timestamp", "metadata.uid")


@dataclass(frozen=True)
class Placement:
    """Placed entries of one shard by model, and sentences about the models that wait."""

    placed: Mapping[str, Entry] = field(default_factory=dict)
    insufficient_memory: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that wait for memory."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models beyond the size limit of `models.json`."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that are not placed because of an invalid spec."""
    waiting_for_unload: Mapping[str, str] = field(default_factory=dict)
    """Sentences by model, for models that wait until the server has unloaded removed models."""
    used: int = 0
    limit: int = 0
    shard: int = 0


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


def _entry(model: TrainedModel, before: Entry | None) -> Entry:
    """Return the entry of a placed model: the same object while it is equal.

    The same files stay under the content rules of their first placement.
    """
    if before is not None and _is_unchanged(before, model):
        return before
    entry = entry_of(model)
    if before is None or before.digest != entry.digest:
        return entry
    return entry_of(model, before.model_spec.content_rules)


def place(
    host: InferenceService,
    models: Collection[TrainedModel],
    current: Sequence[Entry],
    config: ServingConfig,
    unparsable: Collection[str] = (),
    not_unloaded: Collection[str] = (),
    blocked_claims: Mapping[str, str] = NONE_BLOCKED,
) -> Placement:
    """Return the placement on the host, given the current entries of `models.json`.

    `unparsable` names models that exist and do not parse: their entries stay as they are, while they fit. The same
    holds for models that became invalid: their previous version stays loaded. `not_unloaded` names removed models that
    a server does not unload. `blocked_claims` has the sentences about claims that are not for new models.
    """
    name, limit = host.metadata.name, memory_limit(host)
    held = {entry.model_name: entry for entry in current}
    changed = _changed(models, held)
    errors_of = partial(_spec_error, host, blocked_claims)
    invalid = {each: error for each, model in changed.items() if (error := errors_of(model))}
    packing = _Packing(limit)
    valid = {each: model for each, model in changed.items() if each not in invalid}
    ranks = _ranks(host, valid, held, config)
    candidates = _in_order(models, ranks, changed.keys() - ranks.keys())
    waiting = _waiting_for_unload(name, candidates, held, not_unloaded)
    for model_name in sorted(held.keys() & {*unparsable, *_staying(changed, invalid), *waiting}):
        packing.keep(held[model_name])
    for model in candidates:
        if model.metadata.name not in waiting:
            packing.add(model, held.get(model.metadata.name))
    left_out = dict.fromkeys(models_beyond_limit(packing.placed, held), _full_error(name))
    for model_name in left_out:
        packing.drop(model_name)
    errors = packing.unreadable | packing.memory_errors(name)
    errors |= {model_name: sentence for model_name, sentence in waiting.items() if model_name in held}
    return Placement(packing.placed, errors, left_out, invalid, waiting, packing.usage.total, limit)


def _waiting_for_unload(
    host: str, candidates: Iterable[TrainedModel], held: Mapping[str, Entry], not_unloaded: Collection[str]
) -> dict[str, str]:
    """Return the sentences about new and grown models, by model, while a server does not unload removed ones."""
    if not not_unloaded:
        return {}
    waiting = (model for model in candidates if _needs_memory(model, held.get(model.metadata.name)))
    sentence = waits_for_unload(host, not_unloaded)
    return {model.metadata.name: sentence for model in waiting if model.metadata.name not in not_unloaded}


def _needs_memory(model: TrainedModel, before: Entry | None) -> bool:
    """Return whether a model is new, or declares more memory than before."""
    try:
        return before is None or declared(model) > declared(before)
    except ValueError:
        return False


def keep_placed(
    host: InferenceService,
    models: Iterable[TrainedModel],
    current: Sequence[Entry],
    unparsable: Collection[str] = (),
) -> Placement:
    """Return the placement of a host with an invalid spec: the entries stay, except those of deleted models."""
    staying = {model.metadata.name for model in models if not model.metadata.deletion_timestamp} | set(unparsable)
    placed = {entry.model_name: entry for entry in current if entry.model_name in staying}
    used = sum(map(declared_or_zero, placed.values()))
    return Placement(placed, used=used, limit=memory_limit(host))


@dataclass
class _Packing:
    """Packing of models one after the other, while their memory fits."""

    limit: int
    placed: dict[str, Entry] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    too_large: dict[str, int] = field(default_factory=dict)
    """Bytes of the models that do not fit."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Sentences about models with an unreadable memory."""

    def keep(self, entry: Entry) -> None:
        """Keep an entry as it is, if its memory fits; an unreadable memory in `models.json` counts as 0."""
        wanted = declared_or_zero(entry)
        if fits(self.usage.total, wanted, self.limit):
            self._add(entry, wanted)

    def add(self, model: TrainedModel, before: Entry | None) -> None:
        """Place a model if its memory fits; an entry that would be equal stays the same object."""
        name = model.metadata.name
        try:
            wanted = declared(model)
        except ValueError as error:
            self.unreadable[name] = f"spec.model.memory: {error}"
            return
        if not fits(self.usage.total, wanted, self.limit):
            self.too_large[name] = wanted
            return
        self._add(_entry(model, before), wanted)

    def drop(self, name: str) -> None:
        """Remove a placed model."""
        del self.placed[name]
        self.usage.remove(name)

    def memory_errors(self, host: str) -> dict[str, str]:
        """Return the sentences about models that do not fit, by model."""
        if not self.too_large:
            return {}
        used, consumers = self.usage.total, top_consumers(self.usage.shares(), len(self.placed))
        return {
            name: insufficient_memory(host, self.limit, used, consumers, wanted)
            for name, wanted in self.too_large.items()
        }

    def _add(self, entry: Entry, memory: int) -> None:
        self.usage.add(entry.model_name, memory)
        self.placed[entry.model_name] = entry


def _changed(models: Iterable[TrainedModel], held: Mapping[str, Entry]) -> dict[str, TrainedModel]:
    """Return the models without an entry, or with another one, by name."""
    by_name = {model.metadata.name: model for model in models}
    return {name: model for name, model in by_name.items() if name not in held or not _is_unchanged(held[name], model)}


def _is_unchanged(entry: Entry, model: TrainedModel) -> bool:
    held, spec = entry.model_spec, model.spec.model
    return (
        held.storage_uri == spec.storage_uri
        and held.framework == spec.framework
        and held.memory == spec.memory
        and held.digest == spec.digest
        and held.refresh_interval == spec.refresh_interval
    )


def _full_error(host: str) -> str:
    return (
        f"{host} is full: the list of its models, models.json, holds at most {AT_MOST}; "
        "place the model on another InferenceService"
    )


def _accepted_frameworks(host: InferenceService, config: ServingConfig) -> Callable[[str], bool]:
    """Return a cached predicate: whether the host takes new models of a framework."""
    multi_model = is_multi_model(host, config)
    return cache(lambda framework: multi_model and framework_error(host, framework, config) is None)


def _spec_error(host: InferenceService, blocked_claims: Mapping[str, str], model: TrainedModel) -> str | None:
    """Return the errors of the spec of a new or changed model; None for a valid one."""
    blocked = blocked_claims.get(claim_of(model.spec.model.storage_uri) or "")
    problems = [*model_problems(model), *copies_of_homogeneous(host, model)]
    return "; ".join(map(str, problems)) or (blocked and f"{STORAGE_URI}: {blocked}") or None


def _staying(models: Mapping[str, TrainedModel], invalid: Collection[str]) -> Iterator[str]:
    """Yield the invalid models that are not being deleted."""
    return (name for name in invalid if not models[name].metadata.deletion_timestamp)


def _ranks(
    host: InferenceService, models: Mapping[str, TrainedModel], held: Mapping[str, Entry], config: ServingConfig
) -> dict[str, int]:
    """Return the ranks of those new and changed models that may be placed, by name."""
    accepts, https = _accepted_frameworks(host, config), config.credentials.https
    return {
        name: _rank(model, held.get(name))
        for name, model in models.items()
        if _may_be_placed(model, held, accepts, https)
    }


def _in_order(
    models: Iterable[TrainedModel], ranks: Mapping[str, int], excluded: Collection[str]
) -> list[TrainedModel]:
    """Return the models in the order of placement: by rank, and among equal ranks the oldest first.

    Unchanged models have no rank; they are placed with rank 0.
    """
    alive = (model for model in models if not model.metadata.deletion_timestamp and model.metadata.name not in excluded)
    return sorted(sorted(alive, key=_AGE), key=lambda model: ranks.get(model.metadata.name, 0))


def _may_be_placed(
    model: TrainedModel, held: Mapping[str, Entry], accepts: Callable[[str], bool], https: HttpsCredentials
) -> bool:
    before = held.get(model.metadata.name)
    if before is not None and before.model_spec.framework == model.spec.model.framework:
        return True
    return accepts(model.spec.model.framework) and source_error(model.spec.model.storage_uri, https) is None


def _rank(model: TrainedModel, before: Entry | None) -> int:
    """Return 0 for a placed model, 1 for one that grew, and 2 for a new one."""
    if before is None:
        return 2
    if before.model_spec.memory == model.spec.model.memory:
        return 0
    try:
        return int(declared(model) > declared(before))
    except ValueError:
        return 1
