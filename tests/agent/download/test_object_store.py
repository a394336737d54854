"""Downloads from object stores, through obstore, against a store with faults."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.base import CHUNK_BYTES, Limits, RemoteFile
from manyserve.agent.settings import MIB, AgentSettings, SourceSettings
from tests.agent.download.archives import contents, folders, tar_of, zipped
from tests.agent.download.bucket import CheckedBucket
from tests.agent.mounts import SecretMount
from tests.agent.support import DROPPED_STREAMS, Counted
from tests.support.eventually import LIMIT, eventually

pytestmark = DROPPED_STREAMS

URI = "gs://bucket/models/a"


@pytest.fixture
async def bucket() -> AsyncIterator[CheckedBucket]:
    bucket = CheckedBucket()
    server = TestServer(bucket.app())
    await server.start_server()
    bucket.url = str(server.make_url("")).rstrip("/")
    yield bucket
    bucket.fault = ""  # ends the responses that still drip
    await server.close()


@pytest.fixture
def source(bucket: CheckedBucket) -> Downloader:
    return make_downloader(bucket, stall_seconds=60)


def make_downloader(bucket: CheckedBucket, stall_seconds: float, range_bytes: int = 64 * MIB) -> Downloader:
    sources = SourceSettings(gcs_endpoint=bucket.url, range_bytes=range_bytes)
    return choose(URI, downloaders(AgentSettings(sources=sources, stall_seconds=stall_seconds)))


async def fetch(source: Downloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


async def test_object_store_paths_follow_prefix(bucket: CheckedBucket, source: Downloader, tmp_path: Path) -> None:
    bucket.objects = {"models/a/config.pbtxt": b"c", "models/a/1/model.onnx": b"m" * 700_000, "models/a/1/empty": b""}
    assert await fetch(source, tmp_path) == {"config.pbtxt": b"c", "1/model.onnx": b"m" * 700_000, "1/empty": b""}


async def test_object_store_prefix_ends_at_slash(bucket: CheckedBucket, source: Downloader, tmp_path: Path) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a-other/y": b"2", "models/ab": b"3"}
    assert await fetch(source, tmp_path) == {"x": b"1"}
    assert await fetch(source, tmp_path / "slash", f"{URI}/") == {"x": b"1"}


async def test_object_store_single_object_is_model(bucket: CheckedBucket, source: Downloader, tmp_path: Path) -> None:
    bucket.objects = {"models/model.joblib": b"1"}
    assert await fetch(source, tmp_path, "gs://bucket/models/model.joblib") == {"model.joblib": b"1"}


async def test_object_store_folder_markers_become_folders(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/": b"", "models/a/1/": b"", "models/a/1/x": b"1", "models/a/2/": b""}
    assert await fetch(source, tmp_path) == {"1/x": b"1"}
    assert folders(tmp_path) == {"1", "2"}


async def test_object_store_folder_marker_of_azure_becomes_folder(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/1": b"", "models/a/2": b"", "models/a/2/x": b"1", "models/a/empty": b""}
    bucket.metadata = {f"models/a/{name}": {"x-goog-meta-hdi_isfolder": "true"} for name in ("1", "2")}
    assert await fetch(source, tmp_path) == {"2/x": b"1", "empty": b""}
    assert folders(tmp_path) == {"1", "2"}


async def test_object_store_folder_marker_leaves_etags_trusted(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bucket.objects = {"models/a/1/": b"", "models/a/x": b"1"}
    await fetch(source, tmp_path)
    assert bucket.gets.count("models/a/1") == 1
    assert "ETag" not in caplog.text


CONTENT = (("config.pbtxt", b"c"), ("1/model.onnx", b"m" * 1000))
ARCHIVES = {
    "m.tar": tar_of(CONTENT),
    "m.tar.gz": gzip.compress(tar_of(CONTENT)),
    "m.TGZ": gzip.compress(tar_of(CONTENT)),
    "m.zip": zipped(*CONTENT),
    "m": gzip.compress(tar_of(CONTENT)),
}


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize(
    ("prefix", "uri"),
    [("models/", "gs://bucket/models/{}"), ("models/a/", URI), ("models/a/inner/", URI), ("models/a/", f"{URI}/{{}}")],
)
async def test_object_store_archive_that_is_only_object_is_unpacked(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path, name: str, prefix: str, uri: str
) -> None:
    bucket.objects = {f"{prefix}{name}": ARCHIVES[name]}
    counted, listing = Counted(), await source.find(uri.format(name))
    await source.fetch(listing, tmp_path, counted)
    assert contents(tmp_path) == dict(CONTENT)
    assert folders(tmp_path) == {"1"}
    assert (counted.came, counted.lies) == (listing.size, listing.size + 1001)


async def test_object_store_archive_beside_folder_markers_is_unpacked(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {
        "models/a/": b"",
        "models/a/x/": b"",
        "models/a/m.zip/": b"",
        "models/a/x/m.zip": zipped(*CONTENT),
    }
    await source.fetch(await source.find(URI), tmp_path, Counted())
    assert contents(tmp_path) == dict(CONTENT)
    assert folders(tmp_path) == {"1"}


async def test_object_store_archive_beside_other_objects_stays(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    for number, names in enumerate([("m.zip", "n.zip"), ("m.zip", "1/n.zip"), ("1/m.zip", "2/n.zip")]):
        bucket.objects = {f"models/a/{name}": zipped(*CONTENT) for name in names}
        assert await fetch(source, tmp_path / str(number)) == dict.fromkeys(names, zipped(*CONTENT))


async def test_object_store_model_that_is_a_zip_by_its_format_stays(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/model.pt": zipped(*CONTENT)}
    assert await fetch(source, tmp_path) == {"model.pt": zipped(*CONTENT)}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.tar.gz", b"no archive", "is called an archive, but its content is no tar, tar.gz or zip"),
        ("m.zip", zipped(("../up", b"x")), r"was not unpacked: '\.\./up' leads out of the folder"),
        ("m.tar", tar_of(CONTENT)[:-1500], "was not unpacked: '1/model.onnx' is cut short"),
        (
            "m.tar.gz",
            gzip.compress(tar_of([("x", bytes(MIB * 65))]), mtime=0),
            "unpacks to more than 100 times its size",
        ),
    ],
)
async def test_object_store_bad_archive_is_refused_as_that_of_web_servers(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path, name: str, data: bytes, words: str
) -> None:
    bucket.objects = {f"models/a/{name}": data}
    with pytest.raises(DownloadError, match=f"^{URI} .*{words}") as caught:
        await source.fetch(await source.find(URI), tmp_path, Counted())
    assert (caught.value.reason, caught.value.permanent) == ("bad_archive", True)


FAULTS = [
    # fault, message, label of the metric, whether the error is permanent
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
async def test_object_store_fault_is_reported_in_bounded_time(
    bucket: CheckedBucket, tmp_path: Path, fault: str, words: str, reason: str, permanent: bool
) -> None:
    source = make_downloader(bucket, stall_seconds=0.5 if reason == "stalled" else 60)
    bucket.objects = {"models/a/x": b"0123456789" * 10, "models/a/y": b"9876543210" * 10}
    bucket.fault = fault
    async with asyncio.timeout(LIMIT):
        with pytest.raises(DownloadError, match=words) as caught:
            await fetch(source, tmp_path)
    assert (caught.value.reason, caught.value.permanent) == (reason, permanent)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(("fault", "is_hinted"), [("status 403", True), ("status 401", True), ("status 500", False)])
async def test_object_store_denied_anonymous_request_names_secret_and_missing_key(
    bucket: CheckedBucket, tmp_path: Path, fault: str, is_hinted: bool
) -> None:
    SecretMount(tmp_path / "secrets", "gcs-key", **{"key.json": "hush"})
    sources = SourceSettings(gcs_endpoint=bucket.url, credentials_dir=tmp_path / "secrets")
    source = choose(URI, downloaders(AgentSettings(sources=sources)))
    bucket.objects = {"models/a/x": b"1"}
    listing = await source.find(URI)
    bucket.fault = fault
    for call in (source.find(URI), source.fetch(listing, tmp_path / "a", Counted())):
        with pytest.raises(DownloadError) as caught:
            await call
        hint = "; the request was anonymous: the secret gcs-key does not have gcloud-application-credentials.json"
        assert str(caught.value).endswith(hint) is is_hinted


async def test_object_store_that_denies_existence_of_bucket_names_missing_key(
    bucket: CheckedBucket, source: Downloader
) -> None:
    bucket.fault = "status 404"
    with pytest.raises(DownloadError, match=r"was not found: .*; the request was anonymous: the host's Service"):
        await source.find(URI)


@pytest.mark.parametrize("fault", ["short", "longer", "cut", "changing", "drip", "hang get", "status 503"])
async def test_object_store_fault_of_range_is_reported(bucket: CheckedBucket, tmp_path: Path, fault: str) -> None:
    words, stall = {each[0]: (each[1], each[2] == "stalled") for each in FAULTS}[fault]
    words = {"short": "could not be read|asked for", "longer": "could not be read|asked for"}.get(fault, words)
    source = make_downloader(bucket, stall_seconds=0.5 if stall else 60, range_bytes=40)
    bucket.objects = {"models/a/x": b"0123456789" * 10}
    bucket.fault = fault
    async with asyncio.timeout(LIMIT):
        with pytest.raises(DownloadError, match=words) as caught:
            await fetch(source, tmp_path)
    assert not caught.value.permanent


async def test_object_store_slow_connection_that_brings_a_chunk_in_time_is_read(
    bucket: CheckedBucket, tmp_path: Path
) -> None:
    stall_seconds, chunks = 2.0, 5
    bucket.objects = {"models/a/x": bytes(chunks * CHUNK_BYTES)}
    bucket.fault, bucket.drip_bytes = "drip", CHUNK_BYTES // 6
    assert await fetch(make_downloader(bucket, stall_seconds), tmp_path) == {"x": bytes(chunks * CHUNK_BYTES)}


async def test_object_store_large_file_is_read_in_parallel_ranges(bucket: CheckedBucket, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    bucket.objects = {"models/a/large": data, "models/a/small": b"1" * 100_000, "models/a/exact": b"2" * 200_000}
    bucket.barrier_size = 3
    assert await fetch(make_downloader(bucket, 60, range_bytes=100_000), tmp_path) == {
        "large": data,
        "small": b"1" * 100_000,
        "exact": b"2" * 200_000,
    }
    assert len(bucket.ranges) == 11 + 2
    assert 3 <= bucket.max_active <= 4


async def test_object_store_small_download_does_not_wait_for_large_one(bucket: CheckedBucket, tmp_path: Path) -> None:
    source = make_downloader(bucket, 60, range_bytes=1000)
    bucket.objects = {"models/large/x": b"1" * 500_000, "models/small/x": b"2"}
    large = await source.find("gs://bucket/models/large")
    small = await source.find("gs://bucket/models/small")
    running = asyncio.create_task(source.fetch(large, tmp_path / "large", Counted()))
    await eventually(lambda: len(bucket.gets) > 10)
    await source.fetch(small, tmp_path / "small", Counted())
    assert not running.done()
    await running


async def test_object_store_altered_body_is_read_again(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"0123456789"}
    bucket.fault = "once"
    counted = Counted()
    await source.fetch(await source.find(URI), tmp_path, counted)
    assert contents(tmp_path) == {"x": b"0123456789"}
    assert (counted.came, counted.lies) == (20, 10)


async def test_object_store_false_etags_are_detected_once_per_bucket(
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
        ({"models/a/" + "n" * 256: b"1"}, "the object name .* is refused: no file can have this name"),
        ({"models/a/sub/": b"bytes", "models/a/sub/x": b"1"}, "'models/a/sub' is refused: it has 5 bytes and is a"),
        ({"models/a/": b"bytes", "models/a/x": b"1"}, "'models/a' is refused: it has 5 bytes and is a folder, too"),
        (
            {"models/a/x": b"1", "models/a/x/": b""},
            "'models/a/x' is refused: it is there twice, with a slash at its end",
        ),
    ],
)
async def test_input_14_object_name_that_no_folder_can_hold_is_refused(
    bucket: CheckedBucket, source: Downloader, objects: dict[str, bytes], words: str
) -> None:
    bucket.objects = objects
    with pytest.raises(DownloadError, match=words) as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("bad_name", True)


async def test_input_14_object_with_bytes_and_slash_at_end_is_refused(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a/sub/": b"bytes"}
    with pytest.raises(DownloadError, match="models/a/sub has 5 bytes, but is not there by this name") as caught:
        await fetch(source, tmp_path)
    assert caught.value.reason == "not_found"


async def test_input_14_object_equal_to_prefix_is_model_only_without_objects_below(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a": b"one file"}
    assert await fetch(source, tmp_path / "alone") == {"a": b"one file"}
    bucket.objects["models/a/x"] = b"1"
    assert await fetch(source, tmp_path / "both") == {"x": b"1"}


async def test_input_14_prefix_does_not_match_longer_name(
    bucket: CheckedBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a-2/y": b"2", "models/a.old": b"3", "models/ab/z": b"4"}
    assert await fetch(source, tmp_path) == {"x": b"1"}


async def test_input_14_listing_of_hundred_thousand_keys_stops_early(bucket: CheckedBucket, source: Downloader) -> None:
    bucket.objects = {f"models/a/{number:06}": b"" for number in range(100_000)}
    with pytest.raises(DownloadError, match=r"gs://bucket/models/a has more than 2000 files and folders") as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("too_large", True)
    assert bucket.lists < 20


async def test_folders_of_object_names_count_as_files(bucket: CheckedBucket, source: Downloader) -> None:
    bucket.objects = {f"models/a/{number}/" + "d/" * 300 + "x": b"" for number in range(10)}
    with pytest.raises(DownloadError, match="has more than 2000 files and folders"):
        await source.find(URI)


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "gs:///x", "s3://bucket//", "az://"])
async def test_input_14_prefix_that_is_empty_is_refused(source: Downloader, uri: str) -> None:
    with pytest.raises(DownloadError, match="does not name a bucket and a path in it") as caught:
        await source.find(uri)
    assert (caught.value.reason, caught.value.permanent) == ("bad_uri", True)


async def test_object_store_fingerprint_changes_with_content(bucket: CheckedBucket, source: Downloader) -> None:
    bucket.objects = {"models/a/x": b"1"}
    before = (await source.find(URI)).fingerprint
    assert (await source.find(URI)).fingerprint == before
    bucket.objects = {"models/a/x": b"2"}
    assert (await source.find(URI)).fingerprint != before


def test_choose_refuses_unknown_scheme_and_names_known_ones() -> None:
    with pytest.raises(DownloadError, match=r"it knows .*gs://.*s3://") as caught:
        choose("ftp://user:secret@host/x", downloaders(AgentSettings()))
    assert "secret" not in str(caught.value)


def test_limits_error_names_exceeded_limit() -> None:
    files = [RemoteFile("k", "p", 10)] * 3
    Limits(3, 30).check(URI, files)
    with pytest.raises(DownloadError, match="more than 2 files"):
        Limits(2, 30).check(URI, files)
    with pytest.raises(DownloadError, match="30 bytes, more than the limit of 29"):
        Limits(3, 29).check(URI, files)


def test_choose_selects_azure_by_host_name_only() -> None:
    known = downloaders(AgentSettings())
    assert choose("https://account.blob.core.windows.net/container/a", known) is known["az"] is known["abfss"]
    assert choose("https://example.com/account.blob.core.windows.net/a", known) is known["https"]
