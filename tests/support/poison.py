"""Lists of models that are expensive to parse, as a user may write them into a ConfigMap."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from manyserve.api.modelconfig import KEY, MAX_BYTES, MAX_ENTRIES, PACKED_KEY

MIB = 2**20
SPEC = {"storageUri": "gs://bucket/key", "framework": "onnx", "memory": "1Mi"}
ENTRY = json.dumps({"modelName": "a", "modelSpec": SPEC})


def repeated(element: str, length: int) -> str:
    """Return a list of about `length` characters that repeats one element."""
    return f"[{','.join([element] * (length // (len(element) + 1)))}]"


def distinct(count: int, more: str = "") -> str:
    """Return a list of `count` valid entries, each with a further field."""
    plain = (ENTRY.replace('"a"', f'"m-{number:05d}"', 1) for number in range(count))
    return f"[{','.join(each[:-1] + more + '}' for each in plain)}]"


def with_memory(value: str) -> str:
    """Return a list of one entry with this memory."""
    return f"[{ENTRY.replace(json.dumps(SPEC['memory']), value)}]"


REFUSED: dict[str, Callable[[], str]] = {
    "20 MiB of one entry": lambda: repeated(ENTRY, 20 * MIB),
    "one entry, as long as may be": lambda: repeated(ENTRY, MAX_BYTES - 100),
    "a name that stands twice at the end": lambda: f"{distinct(MAX_ENTRIES - 1)[:-1]},{distinct(1)[1:]}",
    "one entry too many": lambda: distinct(MAX_ENTRIES + 1),
    "millions of empty objects": lambda: repeated("{}", MAX_BYTES - 100),
    "millions of numbers": lambda: repeated("0", MAX_BYTES - 100),
    "millions of empty lists": lambda: repeated("[]", MAX_BYTES - 100),
    "lists in lists": lambda: "[" * (MAX_BYTES - 100),
    "objects in objects": lambda: '[{"a":' * (MAX_BYTES // 7),
    "a memory of 5,000 digits": lambda: with_memory("9" * 5000),
    "a memory of millions of digits": lambda: with_memory("9" * (MAX_BYTES - 1000)),
    "a memory of 20 digits": lambda: with_memory("9" * 20),
    "a memory that is no number": lambda: with_memory("NaN"),
    "a memory without end": lambda: with_memory("1e999"),
    "a memory of many letters": lambda: with_memory(json.dumps("1" * 65)),
    "a text of millions of letters": lambda: json.dumps(["x" * (MAX_BYTES - 1000)]),
    "half a character": lambda: f"[{ENTRY.replace('bucket', chr(92) + 'ud800')}]",
    "blanks and no end": lambda: "[" + " " * (MAX_BYTES - 100),
}
"""None of these is a list of models."""

TAKEN: dict[str, Callable[[], str]] = {
    "objects in a field that nobody knows": lambda: distinct(150, f', "later": {repeated("{}", 55_000)}'),
    "numbers in a field that nobody knows": lambda: distinct(30_000, f', "later": {repeated("0", 140)}'),
    "blanks": lambda: "[" + " " * (MAX_BYTES - 100) + "]",
}
"""Valid lists of models: a newer release may write fields that this one does not know."""


def config_map_forms(text: str) -> dict[str, dict[str, Any]]:
    """Return the content of ConfigMaps with the text, as far as it fits: as text, packed, and both."""
    plain = {KEY: text[:900_000]}
    packed = {PACKED_KEY: b64encode(gzip.compress(text.encode(), 6)).decode()}
    return {"plain": {"data": plain}, "packed": {"binaryData": packed}, "both": {"data": plain, "binaryData": packed}}
