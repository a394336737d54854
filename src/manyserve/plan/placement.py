"""Which models stand in `models.json`: exact, sticky, and the same whatever the order of the input.

What is placed stays placed while it fits; a model that grew is judged after those that did not; the rest
are tried by creation time, then uid, whenever room appears. The sum of declared memory is never above the
host's limit. Switching multi-model serving off places nothing new but unloads nothing either: a slip in
the configuration must not empty a thousand servers. The same goes for a store that is not to be read any more.

Today a host has one shard. The shard stands in the placement all the same, so that more can come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
from manyserve.plan.source_rules import why_not_source


@dataclass(frozen=True)
class Placement:
    """The placed entries of one shard by model, and why each model that waits for memory does."""

    placed: Mapping[str, Entry] = field(default_factory=dict)
    no_room: Mapping[str, str] = field(default_factory=dict)
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
    models: Iterable[TrainedModel],
    current: Sequence[Entry],
    config: ServingConfig,
    unreadable: Collection[str] = (),
) -> Placement:
    """Return what is to be placed on the host, given what `models.json` holds now.

    `unreadable` names models that are there and do not parse: their entries stay as they are.
    """
    held = {entry.model_name: entry for entry in current}
    limit = memory_limit(service)
    takers = [model for model in models if _may_be_placed(service, model, held, config)]
    placed = {name: entry for name, entry in held.items() if name in unreadable}
    taken = [Taken(name, _memory_of(entry)) for name, entry in placed.items()]
    used = sum(each.memory for each in taken)
    over: dict[str, int] = {}
    unread: dict[str, str] = {}
    for model in sorted(takers, key=lambda each: _turn(each, held)):
        name = model.metadata.name
        try:
            wanted = declared_memory(model)
        except ValueError as error:
            unread[name] = f"spec.model.memory: {error}"
            continue
        if used + wanted <= limit:
            used += wanted
            taken.append(Taken(name, wanted))
            placed[name] = entry_of(model)
        else:
            over[name] = wanted
    by = in_words(taken)
    waiting = {name: no_room(service.metadata.name, limit, used, by, wanted) for name, wanted in over.items()}
    return Placement(placed, unread | waiting, used, limit)


def _memory_of(entry: Entry) -> int:
    """Return the bytes of an entry that stays as it is; none when somebody wrote there what nobody can read."""
    try:
        return parse_memory(entry.model_spec.memory)
    except ValueError:
        return 0


def _may_be_placed(
    service: InferenceService, model: TrainedModel, held: Mapping[str, Entry], config: ServingConfig
) -> bool:
    if model.metadata.deletion_timestamp:
        return False
    before = held.get(model.metadata.name)
    if before is not None and before.model_spec.framework == model.spec.model.framework:
        return True
    allowed = why_not_source(model.spec.model.storage_uri, config.credentials.https) is None
    supported = why_not_framework(service, model.spec.model.framework, config) is None
    return allowed and supported and takes_several_models(service, config)


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
