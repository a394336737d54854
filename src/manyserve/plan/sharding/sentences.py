"""Sentences about models that wait: for memory with the figures of each shard, or for the unload of removed models."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import format_memory
from manyserve.plan.capacity import (
    insufficient_memory,
    larger_than_a_pod,
    no_shard_fits,
    top_consumers,
    waits_for_unload,
)
from manyserve.plan.memory import MemoryShare, declared_or_zero
from manyserve.plan.sharding.packing import Packing


def memory_errors(host: str, packing: Packing, waiting: Collection[str], *, heterogeneous: bool) -> dict[str, str]:
    """Return the sentences about models that do not fit, by model. One that grew keeps its former memory."""
    if not waiting:
        return {}
    sentence_of = partial(_of_shards, host, packing) if heterogeneous else _of_host(host, packing)
    kept = {name: packing.placed[index][name] for index, name in packing.outdated}
    return {name: f"{sentence_of(name)}{_kept(kept.get(name))}" for name in waiting}


def _kept(entry: Entry | None) -> str:
    return "" if entry is None else f" It stays loaded with {format_memory(declared_or_zero(entry))}."


def _of_host(host: str, packing: Packing) -> Callable[[str], str]:
    """Return the function from model to sentence of a homogeneous host."""
    (entries,), limit, used = packing.placed.values(), packing.bounds.limit, sum(packing.used.values())
    shares = (MemoryShare(name, declared_or_zero(entry)) for name, entry in entries.items())
    consumers = top_consumers(shares, len(entries))

    def sentence(name: str) -> str:
        return insufficient_memory(host, limit, used, consumers, packing.demands[name].memory)

    return sentence


def _of_shards(host: str, packing: Packing, name: str) -> str:
    limit, memory = packing.bounds.limit, packing.demands[name].memory
    if memory > limit:
        return larger_than_a_pod(host, limit, memory)
    others = (each for each in packing.shards if name not in packing.placed[each] and each != packing.draining)
    free = map(packing.free, others)
    return no_shard_fits(host, limit, memory, free, len(packing.shards), packing.bounds.most)


def unload_errors(host: str, packing: Packing, waiting: Collection[str]) -> dict[str, str]:
    """Return the sentences about waiting models that a shard would take if its server unloaded removed models."""
    closed = {name for shard in packing.shards.values() for name in shard.not_unloaded}
    if not closed or len(packing.shards) < packing.bounds.most:
        return {}
    sentence = waits_for_unload(host, closed)
    held = (name for name in waiting if any(_is_closed(packing, index, name) for index in packing.shards))
    return dict.fromkeys(held, sentence)


def _is_closed(packing: Packing, index: int, name: str) -> bool:
    """Return whether a shard would take a copy, or the new entry of one, if it were not closed."""
    shard = packing.shards[index]
    is_candidate = name not in shard.entries or (index, name) in packing.outdated
    return shard.is_closed_to(name) and is_candidate
