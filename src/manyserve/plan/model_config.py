"""ConfigMap of a host's shard: `models.json`, the list of the placed models that agents read.

A list of up to `LONGEST_TEXT` is plain text, and a longer one is packed. The ConfigMap never has both forms, since
agents could read the outdated one. A packed list becomes text again only below `SHORTEST_PACKED`: this hysteresis
keeps a host of about that size from flapping. Comparisons use the text, because another release of zlib may pack it
into other bytes.

A ConfigMap holds 1 MiB, and readers take at most `MAX_ENTRIES` and `MAX_BYTES`. A model beyond these limits is not
placed, and its status gives the reason. The entries of the current list stay. So readers accept every written list.

Staleness: an API server with a lagging cache, or one that is cut off from the others, may list outdated models to a
starting operator, such as those of half a minute ago. Newer models would then be removed from their host. So an
annotation of `models.json` holds the resourceVersions of the newest host and model of its snapshot. A plan of an older
snapshot does nothing. An impossible annotation, such as a version later than that of the ConfigMap itself, is ignored.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Mapping

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.modelconfig import KEY, MAX_BYTES, MAX_ENTRIES, MAX_RATIO, PACKED_KEY, Entry, dump, pack, unpack
from manyserve.api.names import DRAINABLE_SINCE, PLANNED_FROM
from manyserve.plan.actions import WriteConfig
from manyserve.plan.children.common import belongs_to, child, difference
from manyserve.plan.model_config_cache import TextCache
from manyserve.plan.observed import CacheVersions, Manifest

LONGEST_TEXT = 900 * 1024
"""Maximal bytes of a list that is written as plain text."""
SHORTEST_PACKED = 700 * 1024
"""Bytes of text below which a packed list becomes plain text again."""
LARGEST_PACKED = 1000 * 1024
"""Bytes; with the other content of the ConfigMap the data stays below the API server's limit of 1 MiB."""

AT_MOST = f"1 MiB packed, {MAX_BYTES // 2**20} MiB of text and {MAX_ENTRIES:,} models"
"""Limits of `models.json` in words."""
USUAL_ENTRY = 250
"""Bytes of text of a typical entry."""

EMPTY_LIST = dump(())
_UNPACKED: TextCache[str | None] = TextCache()
_ANNOTATION = re.compile(r"(\d{1,19})/(\d{1,19})", re.ASCII)


def current_text(host: InferenceService, config_map: Manifest | None) -> str:
    """Return the current `models.json`; an empty list for the ConfigMap of an earlier host of this name."""
    if config_map is None or not belongs_to(config_map, host):
        return EMPTY_LIST
    return text_of(config_map) or EMPTY_LIST


def text_of(config_map: Manifest) -> str | None:
    """Return the `models.json` of a ConfigMap as agents read it, None when there is none or it cannot be unpacked."""
    texts = _texts(config_map)
    return texts.get(KEY, texts.get(PACKED_KEY))


def entries_at_most(config_map: Manifest | None) -> int:
    """Return an upper estimate of the number of entries in a ConfigMap, without unpacking or parsing them."""
    plain, packed = ((config_map or {}).get(field) or {} for field in ("data", "binaryData"))
    length = max(len(plain.get(KEY, "")), min(len(packed.get(PACKED_KEY, "")) * MAX_RATIO, MAX_BYTES))
    return length // USUAL_ENTRY


def write_model_config(
    host: InferenceService, shard: int, text: str, config_map: Manifest | None, annotations: Mapping[str, str]
) -> WriteConfig | None:
    """Return the write of the ConfigMap, or None when it has this text or belongs to an earlier host of this name.

    A text over `MAX_BYTES` is not written, since readers refuse it. It comes from a stored list that somebody wrote
    in a shorter form than ours. Of the annotations only another note of a drain causes a write. Other keys of the
    ConfigMap are ignored, unless agents would read them.
    """
    if len(text) > MAX_BYTES or (config_map is not None and not belongs_to(config_map, host)):
        return None
    wanted = child(host, "v1", "ConfigMap", names.model_config(host.metadata.name, shard))
    key = PACKED_KEY if _is_long(text, config_map) else KEY
    is_stored = config_map is not None and _texts(config_map) == {key: text} and _has_note(config_map, annotations)
    if config_map is not None and is_stored and difference(wanted, config_map) is None:
        return None
    content = {"data": {KEY: text}} if key == KEY else {"binaryData": {PACKED_KEY: b64encode(pack(text)).decode()}}
    metadata = {"metadata": wanted["metadata"] | {"annotations": dict(annotations)}}
    return WriteConfig(wanted | content | metadata, config_map["metadata"]["resourceVersion"] if config_map else None)


def _has_note(config_map: Manifest, annotations: Mapping[str, str]) -> bool:
    """Return whether the stored note of a drain is the wanted one."""
    stored = config_map["metadata"].get("annotations") or {}
    return stored.get(DRAINABLE_SINCE) == annotations.get(DRAINABLE_SINCE)


def models_beyond_limit(placed: Mapping[str, Entry], held: Mapping[str, Entry]) -> list[str]:
    """Return the placed models beyond the size limit of `models.json`: the last ones that it does not hold yet.

    A changed entry counts as one that it does not hold.
    """
    order = sorted(placed, key=lambda name: placed[name] is not held.get(name))
    staying = sum(placed[name] is held.get(name) for name in order)

    def is_full(count: int) -> bool:
        return count > MAX_ENTRIES or _is_too_long(dump(placed[name] for name in order[:count]))

    if staying == len(order) or not is_full(len(order)):
        return []
    fitting = staying if staying and not is_full(staying) else 0  # the stored list may have a shorter form than ours
    return order[bisect_left(range(len(order)), 1, lo=fitting + 1, key=is_full) - 1 :]


def _is_too_long(text: str) -> bool:
    return len(text) > MAX_BYTES or (len(text) > LARGEST_PACKED < len(pack(text)))


def _is_long(text: str, config_map: Manifest | None) -> bool:
    is_packed = config_map is not None and PACKED_KEY in (config_map.get("binaryData") or {})
    return len(text) > (SHORTEST_PACKED if is_packed else LONGEST_TEXT)


def _texts(config_map: Manifest) -> dict[str, str | None]:
    """Return the text of each form that the ConfigMap has, by its key."""
    plain, packed = config_map.get("data") or {}, config_map.get("binaryData") or {}
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


def planned_from(versions: CacheVersions) -> dict[str, str]:
    """Return the annotation of a `models.json` that is planned from a snapshot with these versions."""
    return {PLANNED_FROM: f"{versions.hosts.newest_version}/{versions.models.newest_version}"}


def is_stale(versions: CacheVersions, config_map: Manifest) -> bool:
    """Return whether the snapshot lacks a change that the plan of this `models.json` had seen."""
    metadata = config_map["metadata"]
    match = _ANNOTATION.fullmatch(str((metadata.get("annotations") or {}).get(PLANNED_FROM, "")))
    stored = str(metadata.get("resourceVersion", ""))
    if match is None or not stored.isdecimal():
        return False
    newest_versions = (int(each) for each in match.groups())
    return any(
        version.observed_version < newest <= int(stored)
        for version, newest in zip((versions.hosts, versions.models), newest_versions, strict=True)
    )
