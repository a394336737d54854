"""Reading `models.json` is bounded: whatever stands there costs no more than a small multiple of the longest list.

The costs are compared with each other in processor time, one right after the other, so that a busy machine changes
nothing. The garbage collector leaves out the objects of the tests before, which would count for the longest lists only.
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
"""The longest list that is taken beside 20,000 models with digests: MAX_BYTES of text beside 5 MiB."""
MOST_MEMORY = 48 * MIB
END = len(ENTRY) + 1
"""Where the first entry of a list ends."""


def entry(number: int, uri: str, **fields: str) -> Entry:
    spec = EntrySpec(storage_uri=uri, framework="pytorch", memory="1Mi", **fields)
    return Entry(model_name=f"model-{number:05d}", model_spec=spec)


def twenty_thousand() -> str:
    """Return the list of 20,000 models with digests, which fill a ConfigMap."""
    digest = (f"sha256:{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(20_000))
    return dump(entry(number, f"gs://bucket/{number}/m", digest=each) for number, each in enumerate(digest))


def seconds(read: Callable[[], object]) -> float:
    """Return the processor time of one reading."""
    began = time.thread_time()
    read()
    return time.thread_time() - began


def costs_a_few_times(read: Callable[[], object], usual: str) -> bool:
    """Return whether a reading takes less than MOST_TIMES that of the usual list, in one of three pairs."""
    return any(seconds(read) < MOST_TIMES * seconds(lambda: parse(usual)) for _ in range(3))


def outcome(data: bytes) -> str:
    """Return with what gzip data is refused, nothing when it is taken."""
    try:
        parse(unpack(data))
    except ValueError as error:
        return str(error)
    return ""


def text_outcome(text: str) -> str:
    """Return with what a text is refused, nothing when it is taken."""
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
def test_any_text_packed_or_not_costs_no_more_than_a_few_times_the_list_that_fills_a_config_map(
    make: Callable[[], str], usual: str
) -> None:
    text = make()
    packed = gzip.compress(text.encode(), 1)
    assert costs_a_few_times(lambda: text_outcome(text), usual)
    assert costs_a_few_times(lambda: outcome(packed), usual)


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_refused_with_a_short_sentence_and_without_much_memory(make: Callable[[], str]) -> None:
    text = make()
    tracemalloc.start()
    said = text_outcome(text)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 < len(said) < 400
    assert most < MOST_MEMORY


@pytest.mark.parametrize("make", TAKEN.values(), ids=TAKEN)
def test_fields_that_a_newer_release_may_write_are_passed_over(make: Callable[[], str]) -> None:
    assert text_outcome(make()) == ""


def test_a_gzip_bomb_is_unpacked_no_further_than_the_limits() -> None:
    bomb = gzip.compress(b" " * 512 * MIB, 9)
    tracemalloc.start()
    assert "has more than" in outcome(bomb)
    assert f"more than {MAX_RATIO} times" in outcome(gzip.compress(b" " * MIB, 9))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MOST_MEMORY


def test_packed_data_that_is_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="cut short"):
        unpack(gzip.compress(b"x" * 1000)[:-10])


def test_the_limits_are_exact() -> None:
    assert len(parse(distinct(MAX_ENTRIES))) == MAX_ENTRIES
    assert text_outcome(distinct(MAX_ENTRIES + 1)) == f"models.json has more than {MAX_ENTRIES} entries"
    longest = distinct(1) + " " * (MAX_BYTES - len(distinct(1)))
    assert len(parse(longest)) == 1
    assert text_outcome(longest + " ") == f"it has more than {MAX_BYTES} bytes"


@pytest.mark.parametrize("uri", ["gs://bucket/" + "x" * 2036, "gs://bucket/" + "\U0001f600" * 2036, "gs://b/k"])
@pytest.mark.parametrize("count", [1, 300])
def test_a_list_that_packs_well_is_padded_and_can_be_read_again_by_any_reader_of_gzip(uri: str, count: int) -> None:
    text = dump(entry(number, uri) for number in range(count))
    packed = pack(text)
    assert len(text) <= MAX_RATIO * len(packed)
    assert unpack(packed).decode() == text == gzip.decompress(packed).decode()


def test_an_entry_that_cannot_be_used_is_named_with_its_number_and_its_field() -> None:
    bad = repeated(ENTRY, len(ENTRY) * 2).replace("1Mi", "1Mi" * 40)
    assert text_outcome(bad).startswith("models.json[0].modelSpec.memory")
    with pytest.raises(ValueError, match=r"^models\.json\[1\]\.modelName: "):
        modelconfig.parse(f'{distinct(1)[:-1]}, {{"modelName": ".."}}]')


@pytest.mark.parametrize(
    ("text", "said"),
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
def test_what_is_no_list_is_named_with_its_place(text: str, said: str) -> None:
    assert text_outcome(text) == said
