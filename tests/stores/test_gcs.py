"""Downloads from an emulator of Google's storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyserve.agent.download import DownloadError
from manyserve.agent.settings import SourceSettings
from tests.stores.conftest import ARCHIVE, FILES, PACKED, RANGE, fetch, seed_gcs, unpacked
from tests.stores.programs import BUCKET, RunningStore

URI = f"gs://{BUCKET}/models/a"


@pytest.fixture(scope="module", autouse=True)
def _seeded(gcs: RunningStore) -> None:
    seed_gcs(gcs, "a")


async def test_gcs_reads_from_custom_endpoint(gcs: RunningStore, tmp_path: Path) -> None:
    sources = SourceSettings(gcs_endpoint=gcs.url, range_bytes=RANGE)
    assert await fetch(URI, tmp_path, sources) == FILES


async def test_gcs_reads_single_object_as_model(gcs: RunningStore, tmp_path: Path) -> None:
    files = await fetch(f"{URI}/config.pbtxt", tmp_path, SourceSettings(gcs_endpoint=gcs.url))
    assert files == {"config.pbtxt": FILES["config.pbtxt"]}


@pytest.mark.parametrize("uri", [f"gs://{BUCKET}/models/packed", f"gs://{BUCKET}/models/packed/m.tar.gz"])
async def test_gcs_unpacks_archive_that_is_only_object(gcs: RunningStore, tmp_path: Path, uri: str) -> None:
    seed_gcs(gcs, "packed", {"m.tar.gz": ARCHIVE})
    assert await unpacked(uri, tmp_path, SourceSettings(gcs_endpoint=gcs.url)) == PACKED


@pytest.mark.parametrize(
    ("uri", "words"),
    [(f"gs://{BUCKET}/models/none", "has no objects")],
)
async def test_gcs_reports_missing_prefix(gcs: RunningStore, tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(DownloadError, match=words) as caught:
        await fetch(uri, tmp_path, SourceSettings(gcs_endpoint=gcs.url))
    assert (caught.value.reason, caught.value.permanent) == ("not_found", True)
