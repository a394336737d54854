"""Limits of the `models.json` parser: any content costs at most a small multiple of the longest list.

Costs are processor time, measured in pairs one right after the other, so that a busy machine has no influence. The
objects of earlier tests are frozen for the garbage collector: they would add cost to the longest lists only.
"""

from __future__ import annotations

import gc
import gzip
import hashlib
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from manyserve.api import modelconfig
from manyserve.api.modelconfig import MAX_BYTES, MAX_ENTRIES, MAX_RATIO, Entry, EntrySpec, dump, pack, parse, unpack
from tests.support.poison import ENTRY, MIB, REFUSED, TAKEN, distinct, repeated

MOST_TIMES = 4.0
"""The longest accepted list against 20,000 models with digests: MAX_BYTES of text against 5 MiB."""
MOST_MEMORY = 48 * MIB
END = len(ENTRY) + 1
"""Position of the end of a list's first entry."""


def entry(number: int, uri: str, **fields: str) -> Entry:
    spec = EntrySpec(storage_uri=uri, framework="pytorch", memory="1Mi", **fields)
    return Entry(model_name=f"model-{number:05d}", model_spec=spec)


def twenty_thousand() -> str:
    """Return the list of 20,000 models with digests, which fill a ConfigMap."""
    digest = (f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(20_000))
    return dump(entry(number, f"gs://bucket/{number}/m", digest=each) for number, each in enumerate(digest))


def seconds(read: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    began = time.thread_time()
    read()
    return time.thread_time() - began


def costs_a_few_times(read: Callable[[], object], usual: str) -> bool:
    """Return whether a call takes less than MOST_TIMES the time of the usual list, in one of three pairs."""
    return any(seconds(read) < MOST_TIMES * seconds(lambda: parse(usual)) for _ in range(3))


def outcome(data: bytes) -> str:
    """Return the error about gzip data, or an empty text."""
    try:
        parse(unpack(data))
    except ValueError as error:
        return str(error)
    return ""


def text_outcome(text: str) -> str:
    """Return the error about a text, or an empty text."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def usual() -> Iterator[str]:
    """Return the list of 20,000 models."""
    gc.collect()
    gc.freeze()
    yield twenty_thousand()
    gc.unfreeze()


@pytest.mark.parametrize("make", [*REFUSED.values(), *TAKEN.values()], ids=[*REFUSED, *TAKEN])
def test_models_json_parser_cost_is_bounded_for_any_text(make: Callable[[], str], usual: str) -> None:
    text = make()
    packed = gzip.compress(text.encode(), 1)
    assert costs_a_few_times(lambda: text_outcome(text), usual)
    assert costs_a_few_times(lambda: outcome(packed), usual)


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_models_json_parser_refuses_with_short_message_and_bounded_memory(make: Callable[[], str]) -> None:
    text = make()
    tracemalloc.start()
    error = text_outcome(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < len(error) < 400
    assert most < MOST_MEMORY


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_models_json_parser_ignores_fields_of_newer_release(make: Callable[[], str]) -> None:
    assert text_outcome(make()) == ""


def test_unpack_stops_at_limits_of_gzip_bomb() -> None:
    bomb = gzip.compress(b" " * 512 * MIB, 9)
    tracemalloc.start()
    assert "has more than" in outcome(bomb)
    assert f"more than {MAX_RATIO} times" in outcome(gzip.compress(b" " * MIB, 9))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MOST_MEMORY


def test_unpack_refuses_truncated_data() -> None:
    with pytest.raises(ValueError, match="cut short"):
        unpack(gzip.compress(b"x" * 1000)[:-10])


def test_models_json_limits_are_exact() -> None:
    assert len(parse(distinct(MAX_ENTRIES))) == MAX_ENTRIES
    assert text_outcome(distinct(MAX_ENTRIES + 1)) == f"models.json has more than {MAX_ENTRIES} entries"
    longest = distinct(1) + " " * (MAX_BYTES - len(distinct(1)))
    assert len(parse(longest)) == 1
    assert text_outcome(longest + " ") == f"it has more than {MAX_BYTES} bytes"


@pytest.mark.parametrize("uri", ["gs://bucket/" + "x" * 2036, "gs://bucket/" + "\U0001f600" * 2036, "gs://b/k"])
@pytest.mark.parametrize("count", [1, 300])
def test_pack_pads_to_max_ratio_and_stays_valid_gzip(uri: str, count: int) -> None:
    text = dump(entry(number, uri) for number in range(count))
    packed = pack(text)
    assert len(text) <= MAX_RATIO * len(packed)
    assert unpack(packed).decode() == text == gzip.decompress(packed).decode()


def test_models_json_error_names_index_and_field_of_entry() -> None:
    bad = repeated(ENTRY, len(ENTRY) * 2).replace("1Mi", "1Mi" * 40)
    assert text_outcome(bad).startswith("models.json[0].modelSpec.memory")
    with pytest.raises(ValueError, match=r"^models\.json\[1\]\.modelName: "):
        modelconfig.parse(f'{distinct(1)[:-1]}, {{"modelName": ".."}}]')


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "it is empty"),
        ("{}", "it is not a JSON list"),
        ("[", "the element at character 1 is not JSON: Expecting value"),
        ("[1", "models.json[0]: Input should be a valid dictionary or instance of Entry"),
        (f"[{ENTRY}", f"the list does not go on with ',' or ']' at character {END}"),
        (f"[{ENTRY} {ENTRY}]", f"the list does not go on with ',' or ']' at character {END + 1}"),
        (f"[{ENTRY},]", f"the element at character {END + 1} is not JSON: Expecting value"),
        (f"[{ENTRY}] 1", f"something follows the list at character {END + 1}"),
    ],
)
def test_models_json_error_names_position(text: str, error: str) -> None:
    assert text_outcome(text) == error
