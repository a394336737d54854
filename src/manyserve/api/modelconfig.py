"""`models.json`: the contract between the operator and the agents.

It is a JSON list of `{"modelName", "modelSpec": {"storageUri", "framework", "memory"}}` in the ConfigMap of a host's
shard. A spec may have `digest`, `refreshInterval` and `contentRules`, too. The list is sorted by name, so that equal
contents are equal bytes. A list that is too long for a ConfigMap is packed, as `models.json.gz`; the hash is that of
the text inside.

Parsing is strict: any other content is an error, because agents must never unload a model over an unreadable file. It
is bounded, too, because every user with the right to edit a ConfigMap may write into it. The limits are on entries, on
bytes of text, and on the ratio of text to packed data. They hold for readers and for writers. The list is decoded one
element at a time, in windows of bounded length. So the cost of a list with a refused element is that of the text before
it, while a decoder of whole documents would build all of the list before a check.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Generator, Iterable, Iterator
from functools import cached_property
from operator import attrgetter
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from manyserve.api.kube_model import CompactModel
from manyserve.api.quantity import LARGEST

KEY = "models.json"
PACKED_KEY = f"{KEY}.gz"
MAX_ENTRIES = 32_000
"""A ConfigMap holds about 20,000 models with digests."""
MAX_BYTES = 8 * 1024 * 1024
"""Bytes of the longest text, packed or not. 20,000 models with digests are 5 MiB of text, packed 1 MiB. 3,900 models
with the longest URIs are 8 MiB."""
MAX_RATIO = 256
"""Bytes of text for one byte of packed data. A list of models packs to 1:5 with digests, and to 1:50 without."""
WINDOW = 64 * 1024
"""Characters of the longest element."""


CONTENT_RULES = 1
"""Version of the rules about the content of new models."""


class EntrySpec(CompactModel):
    """Spec of a placed model."""

    storage_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    framework: Annotated[str, Field(min_length=1, max_length=63)]
    memory: Annotated[str, Field(max_length=64)] | Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
    digest: Annotated[str | None, Field(max_length=128)] = None
    refresh_interval: Annotated[str | None, Field(max_length=32)] = None
    content_rules: Annotated[int | None, Field(ge=0, le=1024)] = None
    """Version of the rules about content under which the model was placed; None: before there were any."""


class Entry(CompactModel):
    """One placed model."""

    model_name: Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    model_spec: EntrySpec

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the fields that decide the files. A change of declared memory alone reloads nothing."""
        spec = self.model_spec
        parts = {"framework": spec.framework, "storageUri": spec.storage_uri}
        parts |= {"digest": spec.digest} if spec.digest else {}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @cached_property
    def text(self) -> str:
        """The entry in `models.json`. Two plans of a host share their entries, so one is serialized once."""
        data = _ENTRIES.dump_json((self,), indent=1, by_alias=True, exclude_none=True, ensure_ascii=True)
        return data.decode()[len(_OPEN) : -len(_CLOSE)]


_TOO_LONG = f"it has more than {MAX_BYTES} bytes"
_ENTRIES = TypeAdapter(tuple[Entry, ...])
_OPEN, _SEPARATOR, _CLOSE = "[\n", ",\n", "\n]"
_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def dump(entries: Iterable[Entry]) -> str:
    """Serialize to the text of `models.json`: sorted by name, the same bytes for the same entries."""
    ordered = sorted(entries, key=attrgetter("model_name"))
    return f"{_OPEN}{_SEPARATOR.join([entry.text for entry in ordered])}{_CLOSE}\n" if ordered else "[]\n"


def parse(text: str | bytes) -> tuple[Entry, ...]:
    """Parse the entries. Raises `ValueError` with a sentence when the text is not a list of entries."""
    if len(text) > MAX_BYTES:
        raise ValueError(_TOO_LONG)
    entries: dict[str, Entry] = {}
    for element in elements(text if isinstance(text, str) else text.decode()):
        if len(entries) >= MAX_ENTRIES:
            raise ValueError(f"{KEY} has more than {MAX_ENTRIES} entries")
        entry = _entry(element, len(entries))
        if entry.model_name in entries:
            raise ValueError(f"{KEY} names a model twice: {entry.model_name}")
        entries[entry.model_name] = entry
    return tuple(entries.values())


def _entry(element: object, index: int) -> Entry:
    try:
        return Entry.from_wire(element)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(("", *map(str, first["loc"])))
        raise ValueError(f"{KEY}[{index}]{path}: {first['msg']}") from None


def elements(text: str) -> Iterator[object]:
    """Yield the elements of a JSON list. Raises `ValueError` with a sentence when the text is not a JSON list."""
    start = _skip(text, 0)
    if text[start : start + 1] != "[":
        raise ValueError("it is not a JSON list" if text else "it is empty")
    start = _skip(text, start + 1)
    if text[start : start + 1] != "]":
        start = yield from _separated(text, start)
    if _skip(text, start + 1) != len(text):
        raise ValueError(f"something follows the list at character {start + 1}")


def _separated(text: str, start: int) -> Generator[object, None, int]:
    """Yield the elements from `start` on, and return the position of the closing bracket."""
    window, base = text[start : start + WINDOW], start
    while True:
        try:
            element, end = _DECODER.raw_decode(window, start - base)
        except (ValueError, RecursionError) as error:
            if base == start:
                raise ValueError(_refusal(error, text, start)) from None
            window, base = text[start : start + WINDOW], start
            continue
        yield element
        start = _skip(text, base + end)
        if text[start : start + 1] == "]":
            return start
        if text[start : start + 1] != ",":
            raise ValueError(f"the list does not go on with ',' or ']' at character {start}")
        start = _skip(text, start + 1)
        if start - base >= len(window):
            window, base = text[start : start + WINDOW], start


def _skip(text: str, start: int) -> int:
    """Return the position of the next character that is not blank."""
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def _refusal(error: Exception, text: str, start: int) -> str:
    element = f"the element at character {start}"
    if isinstance(error, RecursionError):
        return f"{element} is nested too deeply"
    reason = error.msg if isinstance(error, json.JSONDecodeError) else error
    if start + WINDOW < len(text):
        return f"{element} is not JSON, or has more than {WINDOW} characters: {reason}"
    return f"{element} is not JSON: {reason}"


def content_hash(text: str | bytes) -> str:
    """Return the short hash by which the operator and the agents identify a `models.json`."""
    data = text.encode() if isinstance(text, str) else text
    return hashlib.sha256(data).hexdigest()[:16]


def pack(text: str) -> bytes:
    """Compress the text with gzip, to the same bytes for the same text.

    Zeros follow the gzip data when the text packs better than `MAX_RATIO`; readers of gzip skip them.
    """
    return gzip.compress(text.encode(), compresslevel=6, mtime=0).ljust(-(-len(text) // MAX_RATIO), b"\0")


def unpack(data: bytes) -> bytes:
    """Decompress gzip data up to the limits. Raises `ValueError`."""
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
