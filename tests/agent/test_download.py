"""Reading from an object store, through the real client, against one that misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.base import Limits, RemoteFile
from manyserve.agent.settings import AgentSettings
from manyserve.agent.storage_settings import MIB, SourceSettings
from tests.agent.bucket import CheckedBucket
from tests.agent.support import DROPPED_STREAMS, Counted
from tests.support.eventually import eventually

pytestmark = DROPPED_STREAMS

URI = "gs://bucket/models/a"


@pytest.fixture
async def bucket() -> AsyncIterator[CheckedBucket]:
    bucket = CheckedBucket()
    server = TestServer(bucket.app())
    await server.start_server()
    bucket.url = str(server.make_url("")).rstrip("/")
    yield bucket
    bucket.fault = ""  # what still drips, ends
    await server.close()


@pytest.fixture
def source(bucket: CheckedBucket) -> Downloader:
    return reader(bucket, stall_seconds=10)


def reader(bucket: CheckedBucket, stall_seconds: float, range_bytes: int = 64 * MIB) -> Downloader:
    sources = SourceSettings(gcs_endpoint=bucket.url, range_bytes=range_bytes)
    return choose(URI, downloaders(AgentSettings(sources=sources, stall_seconds=stall_seconds)))


async def fetched(source: Downloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_the_objects_below_the_prefix_are_named_by_what_follows_it(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/config.pbtxt": b"c", "models/a/1/model.onnx": b"m" * 700_000, "models/a/1/empty": b""}
    assert await fetched(source, tmp_path) == {"config.pbtxt": b"c", "1/model.onnx": b"m" * 700_000, "1/empty": b""}


async def test_a_prefix_ends_at_a_slash(bucket: CheckedBucket, source: Downloader, tmp_path: Path) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a-other/y": b"2", "models/ab": b"3"}
    assert await fetched(source, tmp_path) == {"x": b"1"}
    assert await fetched(source, tmp_path / "slash", f"{URI}/") == {"x": b"1"}


async def test_a_single_object_is_the_one_file_of_the_model(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/model.joblib": b"1"}
    assert await fetched(source, tmp_path, "gs://bucket/models/model.joblib") == {"model.joblib": b"1"}


async def test_objects_that_stand_for_folders_become_folders(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/": b"", "models/a/1/": b"", "models/a/1/x": b"1", "models/a/2/": b""}
    assert await fetched(source, tmp_path) == {"1/x": b"1"}
    assert (tmp_path / "2").is_dir()


FAULTS = [
    # fault, what is said, the metric's word, whether a retry alone is not expected to help
    ("status 403", "may not be read", "forbidden", True),
    ("status 401", "may not be read", "forbidden", True),
    ("status 404", "no objects|not found", "not_found", True),
    ("status 500", "could not be read", "unavailable", False),
    ("status 503", "could not be read", "unavailable", False),
    ("hang list", "could not be read: it stalled", "stalled", False),
    ("hang get", "could not be read: it stalled", "stalled", False),
    ("drip", "could not be read: it stalled", "stalled", False),
    ("short", "models/a/[xy] has 100 bytes, but 99 came", "checksum", False),
    ("longer", "models/a/[xy] has 100 bytes, but 104 came", "checksum", False),
    ("cut", "could not be read", "unavailable", False),
    ("noise", "models/a/[xy] did not arrive as its checksum says", "checksum", False),
    ("changing", "models/a/[xy] changed while it was downloaded", "changed", False),
]


@pytest.mark.parametrize(("fault", "words", "reason", "permanent"), FAULTS)
async def test_a_fault_of_a_store_is_named_in_bounded_time(
    bucket: CheckedBucket, tmp_path: Path, fault: str, words: str, reason: str, permanent: bool
) -> None:
    source = reader(bucket, stall_seconds=0.5 if reason == "stalled" else 10)
    bucket.objects = {"models/a/x": b"0123456789" * 10, "models/a/y": b"9876543210" * 10}
    bucket.fault = fault
    async with asyncio.timeout(20):
        with pytest.raises(DownloadError, match=words) as caught:
            await fetched(source, tmp_path)
    assert (caught.value.reason, caught.value.permanent) == (reason, permanent)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("fault", ["short", "longer", "cut", "changing", "drip", "hang get", "status 503"])
async def test_a_fault_of_a_store_is_named_for_ranges_too(bucket: CheckedBucket, tmp_path: Path, fault: str) -> None:
    words, stall = {each[0]: (each[1], each[2] == "stalled") for each in FAULTS}[fault]
    words = {"short": "could not be read|asked for", "longer": "could not be read|asked for"}.get(fault, words)
    source = reader(bucket, stall_seconds=0.5 if stall else 10, range_bytes=40)
    bucket.objects = {"models/a/x": b"0123456789" * 10}
    bucket.fault = fault
    async with asyncio.timeout(20):
        with pytest.raises(DownloadError, match=words) as caught:
            await fetched(source, tmp_path)
    assert not caught.value.permanent


async def test_a_large_file_is_read_in_ranges_several_at_once(bucket: CheckedBucket, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    bucket.objects = {"models/a/large": data, "models/a/small": b"1" * 100_000, "models/a/exact": b"2" * 200_000}
    bucket.meeting = 3
    assert await fetched(reader(bucket, 10, range_bytes=100_000), tmp_path) == {
        "large": data,
        "small": b"1" * 100_000,
        "exact": b"2" * 200_000,
    }
    assert len(bucket.ranges) == 11 + 2
    assert 3 <= bucket.most_together <= 4


async def test_a_small_download_does_not_wait_for_all_pieces_of_a_large_one(
    bucket: CheckedBucket, tmp_path: Path
) -> None:
    source = reader(bucket, 10, range_bytes=1000)
    bucket.objects = {"models/large/x": b"1" * 500_000, "models/small/x": b"2"}
    large = await source.find("gs://bucket/models/large")
    small = await source.find("gs://bucket/models/small")
    running = asyncio.create_task(source.fetch(large, tmp_path / "large", Counted()))
    await eventually(lambda: len(bucket.gets) > 10, limit=30)
    await source.fetch(small, tmp_path / "small", Counted())
    assert not running.done()
    await running


async def test_a_body_that_was_altered_once_is_read_again(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"0123456789"}
    bucket.fault = "once"
    counted = Counted()
    await source.fetch(await source.find(URI), tmp_path, counted)
    assert contents(tmp_path) == {"x": b"0123456789"}
    assert (counted.came, counted.lies) == (20, 10)


async def test_etags_that_only_look_like_checksums_are_found_out_once_a_bucket(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.objects = {f"models/a/{name}": name.encode() * 9 for name in "klmnopqrstuvwxyz"}
    bucket.etags = dict.fromkeys(bucket.objects, "0123456789abcdef" * 2)
    await source.fetch(await source.find(URI), tmp_path, Counted())
    assert len(contents(tmp_path)) == 16
    assert 17 <= len(bucket.gets) <= 16 + 4
    before = len(bucket.gets)
    await source.fetch(await source.find(URI), tmp_path, Counted())
    assert len(bucket.gets) == before + 16
    assert [line.getMessage() for line in caplog.records if "ETag" in line.getMessage()] == [
        "the ETags of gs://bucket are no checksums: its files are checked by their sizes alone"
    ]


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ({"models/a/../../up": b"1"}, r"has an object with a name that is refused: .*(\.\.|empty path segment)"),
        ({"models/a//x": b"1"}, r"has an object with a name that is refused: .*(\.\.|empty path segment)"),
        ({"models/a/" + "n" * 256: b"1"}, "the object name .* is refused: no file can be called so"),
        ({"models/a/sub/": b"bytes", "models/a/sub/x": b"1"}, "'models/a/sub' is refused: it has 5 bytes and is a"),
        ({"models/a/": b"bytes", "models/a/x": b"1"}, "'models/a' is refused: it has 5 bytes and is a folder, too"),
        (
            {"models/a/x": b"1", "models/a/x/": b""},
            "'models/a/x' is refused: it is there twice, with a slash at its end",
        ),
    ],
)
async def test_input_14_names_that_no_folder_can_hold_are_refused(
    bucket: CheckedBucket, source: Downloader, objects: dict[str, bytes], words: str
) -> None:
    bucket.objects = objects
    with pytest.raises(DownloadError, match=words) as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("bad_name", True)


async def test_input_14_a_lone_key_that_ends_with_a_slash_and_has_bytes_is_refused(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a/sub/": b"bytes"}
    with pytest.raises(DownloadError, match="models/a/sub has 5 bytes, but is not there by this name") as caught:
        await fetched(source, tmp_path)
    assert caught.value.reason == "not_found"


async def test_input_14_a_key_equal_to_the_prefix_is_the_model_only_when_nothing_lies_below(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a": b"one file"}
    assert await fetched(source, tmp_path / "alone") == {"a": b"one file"}
    bucket.objects["models/a/x"] = b"1"
    assert await fetched(source, tmp_path / "both") == {"x": b"1"}


async def test_input_14_a_prefix_never_matches_a_longer_name(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a-2/y": b"2", "models/a.old": b"3", "models/ab/z": b"4"}
    assert await fetched(source, tmp_path) == {"x": b"1"}


async def test_input_14_a_hundred_thousand_keys_are_refused_before_all_are_listed(
    bucket: CheckedBucket, source: Downloader
) -> None:
    bucket.objects = {f"models/a/{number:06}": b"" for number in range(100_000)}
    with pytest.raises(DownloadError, match=r"gs://bucket/models/a has more than 10000 files") as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("too_large", True)
    assert bucket.lists < 20


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "gs:///x", "s3://bucket//", "az://"])
async def test_input_14_an_empty_prefix_is_refused(source: Downloader, uri: str) -> None:
    with pytest.raises(DownloadError, match="does not name a bucket and a path in it") as caught:
        await source.find(uri)
    assert (caught.value.reason, caught.value.permanent) == ("bad_uri", True)


async def test_a_listing_tells_a_change_of_content(bucket: CheckedBucket, source: Downloader) -> None:
    bucket.objects = {"models/a/x": b"1"}
    before = (await source.find(URI)).fingerprint
    assert (await source.find(URI)).fingerprint == before
    bucket.objects = {"models/a/x": b"2"}
    assert (await source.find(URI)).fingerprint != before


def test_an_unknown_scheme_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(DownloadError, match=r"it knows .*gs://.*s3://") as caught:
        choose("ftp://user:secret@host/x", downloaders(AgentSettings()))
    assert "secret" not in str(caught.value)


def test_limits_name_what_is_too_much() -> None:
    files = [RemoteFile("k", "p", 10)] * 3
    Limits(3, 30).check(URI, files)
    with pytest.raises(DownloadError, match="more than 2 files"):
        Limits(2, 30).check(URI, files)
    with pytest.raises(DownloadError, match="30 bytes, more than the limit of 29"):
        Limits(3, 29).check(URI, files)


def test_https_leads_to_azure_by_the_host_alone() -> None:
    known = downloaders(AgentSettings())
    assert choose("https://account.blob.core.windows.net/container/a", known) is known["az"] is known["abfss"]
    assert choose("https://example.com/account.blob.core.windows.net/a", known) is known["https"]
