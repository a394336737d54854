"""Reading from an emulator of Google's storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyserve.agent.download import DownloadError
from manyserve.agent.storage_settings import SourceSettings
from tests.stores.conftest import FILES, RANGE, fetched, seed_gcs
from tests.stores.programs import BUCKET, RunningStore

URI = f"gs://{BUCKET}/models/a"


@pytest.fixture(scope="module", autouse=True)
def _seeded(gcs: RunningStore) -> None:
    seed_gcs(gcs, "a")


async def test_a_model_is_read_from_an_endpoint_of_ones_own(gcs: RunningStore, tmp_path: Path) -> None:
    sources = SourceSettings(gcs_endpoint=gcs.url, range_bytes=RANGE)
    assert await fetched(URI, tmp_path, sources) == FILES


async def test_a_single_object_is_the_one_file_of_the_model(gcs: RunningStore, tmp_path: Path) -> None:
    found = await fetched(f"{URI}/config.pbtxt", tmp_path, SourceSettings(gcs_endpoint=gcs.url))
    assert found == {"config.pbtxt": FILES["config.pbtxt"]}


@pytest.mark.parametrize(
    ("uri", "words"),
    [(f"gs://{BUCKET}/models/none", "has no objects")],
)
async def test_what_is_not_there_is_named(gcs: RunningStore, tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(DownloadError, match=words) as caught:
        await fetched(uri, tmp_path, SourceSettings(gcs_endpoint=gcs.url))
    assert (caught.value.reason, caught.value.permanent) == ("not_found", True)
