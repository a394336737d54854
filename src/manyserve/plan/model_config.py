"""The ConfigMap of a host's shard: every placed model, as its agents read it.

The list stands there as text while it is short, and packed past 900 KiB; never both, for agents would read the
one and we might mean the other. A packed one becomes text again only below 700 KiB, so that a host that grows
and shrinks about the limit does not flap. What is compared is always the text: another release of zlib may pack
the same text into other bytes.

A ConfigMap holds 1 MiB, and readers take no more than `MAX_ENTRIES` and `MAX_BYTES`. A model that does not fit into
`models.json` any more is not placed, and says so; what stands there stays. So whatever is written can be read.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Mapping

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import KEY, MAX_BYTES, MAX_ENTRIES, MAX_RATIO, PACKED_KEY, Entry, dump, pack, unpack
from manyserve.plan.actions import WriteConfig
from manyserve.plan.children.common import belongs_to, child, difference
from manyserve.plan.observed import Manifest
from manyserve.plan.text_cache import TextCache

LONGEST_TEXT = 900 * 1024
SHORTEST_PACKED = 700 * 1024
LARGEST_PACKED = 1000 * 1024
"""Bytes; with what else is in the ConfigMap it stays below the 1 MiB of data that the API server takes."""

AT_MOST = f"1 MiB packed, {MAX_BYTES // 2**20} MiB of text and {MAX_ENTRIES:,} models"
"""Of `models.json`, in words."""
USUAL_ENTRY = 250
"""Bytes of text."""

_NOTHING = dump(())


def current_text(host: InferenceService, observed: Manifest | None) -> str:
    """Return what is placed now, as it stands there. An earlier host's ConfigMap places nothing."""
    if observed is None or not belongs_to(observed, host):
        return _NOTHING
    return text_of(observed) or _NOTHING


def text_of(observed: Manifest) -> str | None:
    """Return the `models.json` of a ConfigMap as agents read it, None when there is none or it cannot be unpacked."""
    texts = _texts(observed)
    return texts.get(KEY, texts.get(PACKED_KEY))


def entries_at_most(observed: Manifest | None) -> int:
    """Return how many entries of usual length a ConfigMap may hold, before its list is unpacked and read."""
    plain, packed = ((observed or {}).get(each) or {} for each in ("data", "binaryData"))
    length = max(len(plain.get(KEY, "")), min(len(packed.get(PACKED_KEY, "")) * MAX_RATIO, MAX_BYTES))
    return length // USUAL_ENTRY


def write_model_config(
    host: InferenceService, shard: int, text: str, observed: Manifest | None, annotations: Mapping[str, str]
) -> WriteConfig | None:
    """Return the write that makes the ConfigMap hold the text, or None when it does, or is an earlier host's.

    A text that no reader takes is not written: then a list stands there that somebody wrote shorter than we do.
    The annotations go along, and are no reason to write.
    A further key that somebody added to it is no business of ours, unless agents would read it.
    """
    if len(text) > MAX_BYTES or (observed is not None and not belongs_to(observed, host)):
        return None
    wanted = child(host, "v1", "ConfigMap", names.model_config(host.metadata.name, shard))
    key = PACKED_KEY if _is_long(text, observed) else KEY
    if observed is not None and _texts(observed) == {key: text} and difference(wanted, observed) is None:
        return None
    content = {"data": {KEY: text}} if key == KEY else {"binaryData": {PACKED_KEY: b64encode(pack(text)).decode()}}
    metadata = {"metadata": wanted["metadata"] | {"annotations": dict(annotations)}}
    return WriteConfig(wanted | content | metadata, observed["metadata"]["resourceVersion"] if observed else None)


def without_room(placed: Mapping[str, Entry], held: Mapping[str, Entry]) -> list[str]:
    """Return the placed models that `models.json` has no room for: the last of those that it does not hold yet.

    An entry that is to stand there in other words counts as one that it does not hold.
    """
    turn = sorted(placed, key=lambda name: placed[name] is not held.get(name))
    staying = sum(placed[name] is held.get(name) for name in turn)

    def is_full(count: int) -> bool:
        return count > MAX_ENTRIES or _is_too_long(dump(placed[name] for name in turn[:count]))

    if staying == len(turn) or not is_full(len(turn)):
        return []
    fits = staying if staying and not is_full(staying) else 0  # somebody may have written it shorter than we do
    return turn[bisect_left(range(len(turn)), 1, lo=fits + 1, key=is_full) - 1 :]


def _is_too_long(text: str) -> bool:
    return len(text) > MAX_BYTES or (len(text) > LARGEST_PACKED < len(pack(text)))


def _is_long(text: str, observed: Manifest | None) -> bool:
    is_packed = observed is not None and PACKED_KEY in (observed.get("binaryData") or {})
    return len(text) > (SHORTEST_PACKED if is_packed else LONGEST_TEXT)


def _texts(observed: Manifest) -> dict[str, str | None]:
    """Return each form in which the list stands in the ConfigMap."""
    plain, packed = observed.get("data") or {}, observed.get("binaryData") or {}
    texts: dict[str, str | None] = {KEY: plain[KEY]} if KEY in plain else {}
    return texts | ({PACKED_KEY: _unpacked(packed[PACKED_KEY])} if PACKED_KEY in packed else {})


def _unpacked(data: str) -> str | None:
    return _UNPACKED.get(data, _unpack)


def _unpack(data: str) -> tuple[str | None, int]:
    try:
        text = unpack(b64decode(data)).decode()
    except ValueError:
        return None, 0
    return text, len(text)


_UNPACKED: TextCache[str | None] = TextCache()
