"""`models.json`: the contract between the operator and the agents.

A JSON list of `{"modelName", "modelSpec": {"storageUri", "framework", "memory"}}`, with `digest` and
`refreshInterval` in the spec of the models that have them, in the ConfigMap of a host's shard, sorted by
name, so that equal contents are equal bytes. Reading is strict: a file that is not exactly such a list is an
error, because agents must never unload anything over a file they cannot read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import Field, TypeAdapter

from manyserve.api.base import Wire
from manyserve.api.quantity import Memory

KEY = "models.json"


class EntrySpec(Wire):
    """What to load."""

    storage_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    framework: Annotated[str, Field(min_length=1, max_length=63)]
    memory: Memory
    digest: Annotated[str | None, Field(max_length=128)] = None
    refresh_interval: Annotated[str | None, Field(max_length=32)] = None


class Entry(Wire):
    """One placed model."""

    model_name: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    model_spec: EntrySpec

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of what decides the files: a change of declared memory alone reloads nothing."""
        spec = self.model_spec
        parts = {"framework": spec.framework, "storageUri": spec.storage_uri}
        parts |= {"digest": spec.digest} if spec.digest else {}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_ENTRIES = TypeAdapter(tuple[Entry, ...])


def dump(entries: Iterable[Entry]) -> str:
    """Return the text of `models.json`: sorted by name, the same bytes for the same entries."""
    ordered = sorted(entries, key=lambda entry: entry.model_name)
    return json.dumps([entry.to_wire() for entry in ordered], indent=1) + "\n"


def parse(text: str | bytes) -> tuple[Entry, ...]:
    """Return the entries. Raises `ValueError` with a sentence when the text is not a list of entries."""
    entries = _ENTRIES.validate_json(text)
    names = [entry.model_name for entry in entries]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise ValueError(f"{KEY} names a model twice: {', '.join(sorted(twice))}")
    return entries


def content_hash(text: str | bytes) -> str:
    """Return the short hash by which operator and agents tell one `models.json` from another."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]
