"""`models.json`: the contract between the operator and the agents.

A JSON list of `{"modelName", "modelSpec": {"storageUri", "framework", "memory"}}`, with `digest` and
`refreshInterval` in the spec of the models that have them, in the ConfigMap of a host's shard, sorted by
name, so that equal contents are equal bytes. Reading is strict: a file that is not exactly such a list is an
error, because agents must never unload anything over a file they cannot read. A list too long to stand there
as text stands there packed, as `models.json.gz`; the hash is that of the text inside.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import Field, TypeAdapter

from manyserve.api.base import Lean
from manyserve.api.quantity import Memory

KEY = "models.json"
PACKED_KEY = f"{KEY}.gz"
MAX_BYTES = 64 * 1024 * 1024
"""No reader takes a longer text, packed or not."""


class EntrySpec(Lean):
    """What to load."""

    storage_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    framework: Annotated[str, Field(min_length=1, max_length=63)]
    memory: Memory
    digest: Annotated[str | None, Field(max_length=128)] = None
    refresh_interval: Annotated[str | None, Field(max_length=32)] = None


class Entry(Lean):
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
    data = _ENTRIES.dump_json(tuple(ordered), indent=1, by_alias=True, exclude_none=True, ensure_ascii=True)
    return f"{data.decode()}\n"


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


def pack(text: str) -> bytes:
    """Return the text as gzip data, the same bytes for the same text."""
    return gzip.compress(text.encode(), compresslevel=6, mtime=0)


def unpack(data: bytes) -> bytes:
    """Return the content of gzip data, never more than the limit. Raises `ValueError`."""
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = bounded(reader.decompress(data, MAX_BYTES + 1))
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not reader.eof:
        raise ValueError("the gzip data is cut short")
    return text


def bounded(text: bytes) -> bytes:
    """Return the text. Raises `ValueError` when it is longer than the limit."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return text
