"""`models.json`: the contract between the operator and the agents.

A JSON list of `{"modelName", "modelSpec": {"storageUri", "framework", "memory"}}`, with `digest` and
`refreshInterval` in the spec of the models that have them, in the ConfigMap of a host's shard, sorted by
name, so that equal contents are equal bytes. Reading is strict: a file that is not exactly such a list is an
error, because agents must never unload anything over a file they cannot read. A list too long to stand there
as text stands there packed, as `models.json.gz`; the hash is that of the text inside.

Anybody with the right to edit a ConfigMap may write into it, so reading is bounded: in entries, in bytes of text, and
in the ratio of text to packed data. The limits hold for the operator and the agents, and nothing is written past them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from manyserve.api.json_list import elements
from manyserve.api.kube_model import CompactModel
from manyserve.api.quantity import LARGEST

KEY = "models.json"
PACKED_KEY = f"{KEY}.gz"
MAX_ENTRIES = 32_000
"""Some 20,000 models with digests are all that a ConfigMap holds."""
MAX_BYTES = 8 * 1024 * 1024
"""No reader takes a longer text, packed or not. 20,000 models with digests are 5 MiB of text, packed 1 MiB; of models
with the longest URIs, 3,900 are 8 MiB."""
MAX_RATIO = 256
"""Bytes of text for one byte of packed data: a list of models packs to 1:5 with digests, to 1:50 without."""


class EntrySpec(CompactModel):
    """What to load."""

    storage_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    framework: Annotated[str, Field(min_length=1, max_length=63)]
    memory: Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    digest: Annotated[str | None, Field(max_length=128)] = None
    refresh_interval: Annotated[str | None, Field(max_length=32)] = None


class Entry(CompactModel):
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


_TOO_LONG = f"it has more than {MAX_BYTES} bytes"
_ENTRIES = TypeAdapter(tuple[Entry, ...])


def dump(entries: Iterable[Entry]) -> str:
    """Return the text of `models.json`: sorted by name, the same bytes for the same entries."""
    ordered = sorted(entries, key=lambda entry: entry.model_name)
    data = _ENTRIES.dump_json(tuple(ordered), indent=1, by_alias=True, exclude_none=True, ensure_ascii=True)
    return f"{data.decode()}\n"


def parse(text: str | bytes) -> tuple[Entry, ...]:
    """Return the entries. Raises `ValueError` with a sentence when the text is not a list of entries."""
    if len(text) > MAX_BYTES:
        raise ValueError(_TOO_LONG)
    found: dict[str, Entry] = {}
    for element in elements(text if isinstance(text, str) else text.decode()):
        if len(found) >= MAX_ENTRIES:
            raise ValueError(f"{KEY} has more than {MAX_ENTRIES} entries")
        entry = _entry(element, len(found))
        if entry.model_name in found:
            raise ValueError(f"{KEY} names a model twice: {entry.model_name}")
        found[entry.model_name] = entry
    return tuple(found.values())


def _entry(element: object, index: int) -> Entry:
    try:
        return Entry.from_wire(element)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(("", *map(str, first["loc"])))
        raise ValueError(f"{KEY}[{index}]{path}: {first['msg']}") from None


def content_hash(text: str | bytes) -> str:
    """Return the short hash by which operator and agents tell one `models.json` from another."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def pack(text: str) -> bytes:
    """Return the text as gzip data, the same bytes for the same text.

    Where the text packs better than `MAX_RATIO`, zeros follow the gzip data, which readers of gzip skip.
    """
    return gzip.compress(text.encode(), compresslevel=6, mtime=0).ljust(-(-len(text) // MAX_RATIO), b"\0")


def unpack(data: bytes) -> bytes:
    """Return the content of gzip data, unpacked no further than the limits. Raises `ValueError`."""
    reader, most = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), len(data) * MAX_RATIO
    try:
        text = reader.decompress(data, min(most, MAX_BYTES) + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(text) > MAX_BYTES:
        raise ValueError(_TOO_LONG)
    if len(text) > most:
        raise ValueError(f"it unpacks to more than {MAX_RATIO} times its length")
    if not reader.eof:
        raise ValueError("the gzip data is cut short")
    return text
