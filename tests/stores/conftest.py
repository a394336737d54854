"""Fixtures of the stores, one of each kind for all tests, and helpers to fill and read them."""

from __future__ import annotations

import gzip
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from manyserve.agent.download import choose, downloaders
from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.settings_types import networks
from tests.agent.download.archives import tar_of
from tests.agent.support import Counted
from tests.stores import programs
from tests.stores.programs import RunningStore

LOOPBACK = networks("127.0.0.0/8, ::1/128")
RANGE = 1_000_000
FILES: Mapping[str, bytes] = {
    "config.pbtxt": b"name: 'a'",
    "1/model.onnx": bytes(range(256)) * 20_000,
    "1/empty": b"",
    "1/with space & plus+.txt": b"odd",
    "1/ünïcode.txt": b"odder",
}


PACKED = {"config.pbtxt": b"name: 'a'", "1/model.onnx": b"weights"}
ARCHIVE = gzip.compress(tar_of(PACKED.items()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stores)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with programs.s3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with programs.gcs(tmp_path_factory.mktemp("gcs")) as running:
        yield running


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with programs.azure(tmp_path_factory.mktemp("azure")) as running:
        yield running


def seed(store: Any, model: str, files: Mapping[str, bytes] = FILES) -> None:
    """Put the files of a model into a store, and one of a model with a similar name."""
    for name, data in files.items():
        store.put(f"models/{model}/{name}", data)
    store.put(f"models/{model}-2/other", b"not ours")


def seed_gcs(running: RunningStore, model: str, files: Mapping[str, bytes] = FILES) -> None:
    """Fill a store like `seed`, with the upload call of Google's API."""
    for name, data in {**files, f"../{model}-2/other": b"not ours"}.items():
        key = f"models/{model}-2/other" if name.startswith("..") else f"models/{model}/{name}"
        query = urllib.parse.urlencode({"uploadType": "media", "name": key})
        url = f"{running.url}/upload/storage/v1/b/{programs.BUCKET}/o?{query}"
        with urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST")) as answer:
            assert json.load(answer)["name"] == key


async def unpacked(uri: str, folder: Path, sources: SourceSettings) -> dict[str, bytes]:
    """Download an archive and return its files."""
    source = choose(uri, downloaders(AgentSettings(sources=sources)))
    await source.fetch(await source.find(uri), folder, Counted())
    return contents(folder)


async def fetch(uri: str, folder: Path, sources: SourceSettings) -> dict[str, bytes]:
    """Download a model and return its files."""
    source = choose(uri, downloaders(AgentSettings(sources=sources)))
    return await read(source, uri, folder)


async def read(source: Any, uri: str, folder: Path) -> dict[str, bytes]:
    counted = Counted()
    listing = await source.find(uri)
    await source.fetch(listing, folder, counted)
    assert (await source.find(uri)).fingerprint == listing.fingerprint
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


def folders(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
