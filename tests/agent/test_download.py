"""Reading from an object store, through the real client, against one that misbehaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.base import Limits, RemoteFile
from manyserve.agent.settings import AgentSettings
from manyserve.agent.sources import SourceSettings
from tests.agent.support import DROPPED_STREAMS, Counted, FakeBucket

pytestmark = DROPPED_STREAMS

URI = "gs://bucket/models/a"


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    bucket = FakeBucket()
    server = TestServer(bucket.app())
    await server.start_server()
    bucket.url = str(server.make_url("")).rstrip("/")
    yield bucket
    await server.close()


@pytest.fixture
def source(bucket: FakeBucket) -> Downloader:
    return reader(bucket, stall_seconds=10)


def reader(bucket: FakeBucket, stall_seconds: float) -> Downloader:
    sources = SourceSettings(gcs_endpoint=bucket.url)
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
    bucket: FakeBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/config.pbtxt": b"c", "models/a/1/model.onnx": b"m" * 700_000, "models/a/1/empty": b""}
    assert await fetched(source, tmp_path) == {"config.pbtxt": b"c", "1/model.onnx": b"m" * 700_000, "1/empty": b""}


async def test_a_prefix_ends_at_a_slash(bucket: FakeBucket, source: Downloader, tmp_path: Path) -> None:
    bucket.objects = {"models/a/x": b"1", "models/a-other/y": b"2", "models/ab": b"3"}
    assert await fetched(source, tmp_path) == {"x": b"1"}
    assert await fetched(source, tmp_path / "slash", f"{URI}/") == {"x": b"1"}


async def test_a_single_object_is_the_one_file_of_the_model(
    bucket: FakeBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/model.joblib": b"1"}
    assert await fetched(source, tmp_path, "gs://bucket/models/model.joblib") == {"model.joblib": b"1"}


async def test_objects_that_stand_for_folders_become_folders(
    bucket: FakeBucket, source: Downloader, tmp_path: Path
) -> None:
    bucket.objects = {"models/a/": b"", "models/a/1/": b"", "models/a/1/x": b"1", "models/a/2/": b""}
    assert await fetched(source, tmp_path) == {"1/x": b"1"}
    assert (tmp_path / "2").is_dir()


@pytest.mark.parametrize(
    ("fault", "words", "permanent"),
    [
        ("status 403", "may not be read", True),
        ("status 401", "may not be read", True),
        ("status 404", "no objects|not found", True),
        ("status 503", "could not be read", False),
        ("hang list", "stalled", False),
        ("hang get", "stalled", False),
        ("drip", "stalled", False),
        ("longer", "came", False),
    ],
)
async def test_a_fault_is_named_in_bounded_time(
    bucket: FakeBucket, tmp_path: Path, fault: str, words: str, permanent: bool
) -> None:
    source = reader(bucket, stall_seconds=0.5 if words == "stalled" else 10)
    bucket.objects = {"models/a/x": b"0123456789"}
    bucket.fault = fault
    async with asyncio.timeout(20):
        with pytest.raises(DownloadError, match=words) as caught:
            await fetched(source, tmp_path)
    assert caught.value.permanent is permanent
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("key", ["models/a/../../up", "models/a//x"])
async def test_names_that_lead_elsewhere_are_refused(bucket: FakeBucket, source: Downloader, key: str) -> None:
    bucket.objects = {key: b"1"}
    with pytest.raises(DownloadError, match="refused") as caught:
        await source.find(URI)
    assert caught.value.permanent


@pytest.mark.parametrize("uri", ["gs://bucket", "gs://bucket/", "gs:///x"])
async def test_a_uri_without_bucket_or_path_is_refused(source: Downloader, uri: str) -> None:
    with pytest.raises(DownloadError, match="does not name") as caught:
        await source.find(uri)
    assert caught.value.permanent


async def test_a_listing_tells_a_change_of_content(bucket: FakeBucket, source: Downloader) -> None:
    bucket.objects = {"models/a/x": b"1"}
    before = (await source.find(URI)).fingerprint
    assert (await source.find(URI)).fingerprint == before
    bucket.objects = {"models/a/x": b"2"}
    assert (await source.find(URI)).fingerprint != before


def test_an_unknown_scheme_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(DownloadError, match="it knows gs://") as caught:
        choose("ftp://user:secret@host/x", downloaders(AgentSettings()))
    assert "secret" not in str(caught.value)


def test_limits_name_what_is_too_much() -> None:
    files = [RemoteFile("k", "p", 10)] * 3
    Limits(3, 30).check(URI, files)
    with pytest.raises(DownloadError, match="more than 2 files"):
        Limits(2, 30).check(URI, files)
    with pytest.raises(DownloadError, match="30 bytes, more than the limit of 29"):
        Limits(3, 29).check(URI, files)
