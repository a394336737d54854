"""Which models stand in `models.json`: exact, sticky, and the same whatever the order of the input.

What is placed stays placed while it fits; a model that grew is judged after those that did not; the rest
are tried by creation time, then uid, whenever room appears. The sum of declared memory is never above the
host's limit. Switching multi-model serving off places nothing new but unloads nothing either: a slip in
the configuration must not empty a thousand servers. The same goes for a store that is not to be read any more.
What fits into the memory and not into `models.json`, which a ConfigMap bounds, is not placed either.
A model with an invalid spec is not newly placed. A host with an invalid spec takes no model, and what is placed on it
stays, since its pods still run by the spec before.

Today a host has one shard. The shard stands in the placement all the same, so that more can come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from manyserve.api.credentialsconfig import HttpsCredentials
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import Entry, EntrySpec
from manyserve.api.quantity import parse_memory
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.capacity import (
    Taken,
    declared_memory,
    in_words,
    memory_limit,
    no_room,
    takes_several_models,
    why_not_framework,
)
from manyserve.plan.model_config import AT_MOST, without_room
from manyserve.plan.source_rules import why_not_source
from manyserve.plan.validation import model_problems


@dataclass(frozen=True)
class Placement:
    """The placed entries of one shard by model, and why each model that waits for room does."""

    placed: Mapping[str, Entry] = field(default_factory=dict)
    no_room: Mapping[str, str] = field(default_factory=dict)
    """For the models that wait for memory, why."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """For the models that `models.json` has no room for, why."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """For the models that are not placed because of an invalid spec, what is wrong."""
    used: int = 0
    limit: int = 0
    shard: int = 0


def entry_of(model: TrainedModel) -> Entry:
    """Return the model as it stands in `models.json`."""
    spec = model.spec.model
    return Entry(
        model_name=model.metadata.name,
        model_spec=EntrySpec(
            storage_uri=spec.storage_uri,
            framework=spec.framework,
            memory=spec.memory,
            digest=spec.digest,
            refresh_interval=spec.refresh_interval,
        ),
    )


def place(
    service: InferenceService,
    models: Collection[TrainedModel],
    current: Sequence[Entry],
    config: ServingConfig,
    unreadable: Collection[str] = (),
) -> Placement:
    """Return what is to be placed on the host, given what `models.json` holds now.

    `unreadable` names models that are there and do not parse: their entries stay as they are, while they fit. So do
    those of models that became invalid: the version before answers on.
    """
    host = service.metadata.name
    held = {entry.model_name: entry for entry in current}
    limit = memory_limit(service)
    takes, https = _takes(service, config), config.credentials.https
    invalid = {model.metadata.name: said for model in models if (said := _why_invalid(model, held))}
    takers = [
        model for model in models if model.metadata.name not in invalid and _may_be_placed(model, held, takes, https)
    ]
    fit = _Fit()
    for name in sorted(held.keys() & {*unreadable, *_staying(models, invalid)}):
        fit.keep(held[name], limit)
    for model in sorted(takers, key=lambda each: _turn(each, held)):
        fit.take(model, held.get(model.metadata.name), limit)
    left_out = dict.fromkeys(without_room(fit.placed, held), _full(host))
    placed = {name: entry for name, entry in fit.placed.items() if name not in left_out}
    used = sum(fit.memory[name] for name in placed)
    by = in_words([Taken(name, fit.memory[name]) for name in placed]) if fit.over else ""
    waiting = {name: no_room(host, limit, used, by, wanted) for name, wanted in fit.over.items()}
    return Placement(placed, fit.unread | waiting, left_out, invalid, used, limit)


def keep_placed(
    host: InferenceService,
    models: Iterable[TrainedModel],
    current: Sequence[Entry],
    unreadable: Collection[str] = (),
) -> Placement:
    """Return the placement of a host with an invalid spec: the entries stay, but for those of deleted models."""
    staying = {model.metadata.name for model in models if not model.metadata.deletion_timestamp} | set(unreadable)
    placed = {entry.model_name: entry for entry in current if entry.model_name in staying}
    used = sum(map(_memory_of, placed.values()))
    return Placement(placed, used=used, limit=memory_limit(host))


@dataclass
class _Fit:
    """What has been taken so far, in turn."""

    placed: dict[str, Entry] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    over: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    used: int = 0

    def keep(self, entry: Entry, limit: int) -> None:
        """Keep an entry as it is, if its memory fits beside what is taken."""
        name, wanted = entry.model_name, _memory_of(entry)
        if self.used + wanted <= limit:
            self.used += wanted
            self.memory[name] = wanted
            self.placed[name] = entry

    def take(self, model: TrainedModel, before: Entry | None, limit: int) -> None:
        """Place a model if its memory fits beside what is taken; an entry that says the same stays the same object."""
        name = model.metadata.name
        try:
            wanted = declared_memory(model)
        except ValueError as error:
            self.unread[name] = f"spec.model.memory: {error}"
            return
        if self.used + wanted > limit:
            self.over[name] = wanted
            return
        self.used += wanted
        self.memory[name] = wanted
        self.placed[name] = before if before is not None and _says_the_same(before, model) else entry_of(model)


def _says_the_same(entry: Entry, model: TrainedModel) -> bool:
    here, there = entry.model_spec, model.spec.model
    return (here.storage_uri, here.framework, here.memory, here.digest, here.refresh_interval) == (
        there.storage_uri,
        there.framework,
        there.memory,
        there.digest,
        there.refresh_interval,
    )


def _full(host: str) -> str:
    return (
        f"{host} is full: the list of its models, models.json, holds at most {AT_MOST}; "
        "place the model on another InferenceService"
    )


def _memory_of(entry: Entry) -> int:
    """Return the bytes of an entry that stays as it is; none when somebody wrote there what nobody can read."""
    try:
        return parse_memory(entry.model_spec.memory)
    except ValueError:
        return 0


def _takes(service: InferenceService, config: ServingConfig) -> Callable[[str], bool]:
    """Return whether the host takes a new model of a framework, asked once for each."""
    several = takes_several_models(service, config)
    return cache(lambda framework: several and why_not_framework(service, framework, config) is None)


def _why_invalid(model: TrainedModel, held: Mapping[str, Entry]) -> str | None:
    """Return what is wrong with a model, None when nothing is, or when it stands in `models.json` as it is."""
    before = held.get(model.metadata.name)
    if before is not None and _says_the_same(before, model):
        return None
    return "; ".join(map(str, model_problems(model))) or None


def _staying(models: Iterable[TrainedModel], invalid: Collection[str]) -> Iterator[str]:
    """Yield the invalid models that are not being deleted."""
    names = (each.metadata.name for each in models if not each.metadata.deletion_timestamp)
    return (name for name in names if name in invalid)


def _may_be_placed(
    model: TrainedModel, held: Mapping[str, Entry], takes: Callable[[str], bool], https: HttpsCredentials
) -> bool:
    if model.metadata.deletion_timestamp:
        return False
    before = held.get(model.metadata.name)
    if before is not None and before.model_spec.framework == model.spec.model.framework:
        return True
    return takes(model.spec.model.framework) and why_not_source(model.spec.model.storage_uri, https) is None


def _turn(model: TrainedModel, held: Mapping[str, Entry]) -> tuple[int, str, str]:
    """Whose turn it is: those that stay, those that stay but grew, those that wait; then the oldest."""
    before = held.get(model.metadata.name)
    return (_rank(model, before), model.metadata.creation_timestamp, model.metadata.uid)


def _rank(model: TrainedModel, before: Entry | None) -> int:
    if before is None:
        return 2
    if before.model_spec.memory == model.spec.model.memory:
        return 0
    try:
        return int(declared_memory(model) > parse_memory(before.model_spec.memory))
    except ValueError:
        return 1
