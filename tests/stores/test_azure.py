"""Downloads from an emulator of Azure's blob storage, by each form of URI."""

from __future__ import annotations

import base64
import hashlib
import hmac
import urllib.request
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlencode

import pytest
from obstore.store import AzureStore

from manyserve.agent.download import DownloadError, choose, downloaders
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.mounts import SecretMount
from tests.agent.support import Counted
from tests.stores.conftest import ARCHIVE, FILES, PACKED, RANGE, fetch, folders, read, seed, unpacked
from tests.stores.programs import ACCOUNT, ACCOUNT_KEY, RunningStore

CONTAINER = "container"
URIS = (
    f"https://{ACCOUNT}.blob.core.windows.net/{CONTAINER}/models/a",
    f"abfss://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net/models/a",
    f"az://{CONTAINER}/models/a",
)
"""The URIs of one model."""


@pytest.fixture(scope="module", autouse=True)
def _seeded(azure: RunningStore) -> None:
    create_container(azure)
    seed(writer(azure), "a")


def writer(running: RunningStore) -> AzureStore:
    config = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": running.url}
    return AzureStore(CONTAINER, config=config, client_options={"allow_http": True})  # type: ignore[arg-type]


def shared_access(permissions: str) -> str:
    """Return a SAS token of the account, as the portal issues it."""
    fields = {"sv": "2021-12-02", "ss": "b", "srt": "sco", "sp": permissions, "se": "2099-01-01T00:00:00Z"}
    words = [ACCOUNT, permissions, "b", "sco", "", fields["se"], "", "", fields["sv"], "", ""]
    return urlencode(fields | {"sig": signature("\n".join(words))})


def signature(text: str) -> str:
    key = base64.b64decode(ACCOUNT_KEY)
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def create_container(running: RunningStore) -> None:
    """Create the container. obstore has no call for it."""
    date, version = formatdate(usegmt=True), "2021-12-02"
    headers = {"x-ms-date": date, "x-ms-version": version}
    canonical = f"x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature('PUT' + 12 * chr(10) + canonical)}"
    url = f"{running.url}/{CONTAINER}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)) as answer:
        assert answer.status == 201


def sources(running: RunningStore, folder: Path) -> SourceSettings:
    return SourceSettings(credentials_dir=folder, azure_endpoint=running.url, range_bytes=RANGE)


@pytest.mark.parametrize("uri", URIS)
async def test_azure_reads_with_account_key_of_secret(azure: RunningStore, tmp_path: Path, uri: str) -> None:
    keys = {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_ACCESS_KEY": ACCOUNT_KEY}
    SecretMount(tmp_path / "secrets", "azure", **keys)
    assert await fetch(uri, tmp_path / "a", sources(azure, tmp_path / "secrets")) == FILES


@pytest.mark.parametrize("uri", URIS)
async def test_azure_reads_with_sas_token_of_secret(azure: RunningStore, tmp_path: Path, uri: str) -> None:
    token = shared_access("rl")
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCOUNT=ACCOUNT, AZURE_STORAGE_SAS_TOKEN=f"?{token}")
    assert await fetch(uri, tmp_path / "a", sources(azure, tmp_path / "secrets")) == FILES


async def test_azure_reads_single_blob_as_model(azure: RunningStore, tmp_path: Path) -> None:
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    files = await fetch(f"{URIS[0]}/config.pbtxt", tmp_path / "a", sources(azure, tmp_path / "secrets"))
    assert files == {"config.pbtxt": FILES["config.pbtxt"]}


async def test_azure_keeps_folder_of_marker(azure: RunningStore, tmp_path: Path) -> None:
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    store = writer(azure)
    store.put("models/ensemble/config.pbtxt", b"c")
    store.put("models/ensemble/1", b"", attributes={"hdi_isfolder": "true"})
    uri = URIS[0].replace("models/a", "models/ensemble")
    assert await fetch(uri, tmp_path / "a", sources(azure, tmp_path / "secrets")) == {"config.pbtxt": b"c"}
    assert folders(tmp_path / "a") == {"1"}


async def test_azure_unpacks_archive_that_is_only_blob(azure: RunningStore, tmp_path: Path) -> None:
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    writer(azure).put("models/packed/m.tar.gz", ARCHIVE)
    uri = URIS[0].replace("models/a", "models/packed")
    assert await unpacked(uri, tmp_path / "a", sources(azure, tmp_path / "secrets")) == PACKED


@pytest.mark.parametrize(("path", "words"), [("container/none", "has no objects"), ("none/models/a", "ContainerNotF")])
async def test_azure_reports_missing_container_or_prefix(
    azure: RunningStore, tmp_path: Path, path: str, words: str
) -> None:
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    uri = f"https://{ACCOUNT}.blob.core.windows.net/{path}"
    with pytest.raises(DownloadError, match=words) as caught:
        await fetch(uri, tmp_path / "a", sources(azure, tmp_path / "secrets"))
    assert (caught.value.reason, caught.value.permanent) == ("not_found", True)


async def test_azure_uses_rotated_key_without_restart(azure: RunningStore, tmp_path: Path) -> None:
    old = base64.b64encode(b"an old key").decode()
    mount = SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=old)
    source = choose(URIS[0], downloaders(AgentSettings(sources=sources(azure, tmp_path / "secrets"))))
    with pytest.raises(DownloadError, match=r"may not be read: .*AuthorizationFailure") as caught:
        await source.find(URIS[0])
    assert old not in str(caught.value)
    mount.write(AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    assert await read(source, URIS[0], tmp_path / "a") == FILES


@pytest.mark.parametrize("size", [100, 3 * RANGE])
async def test_azure_refuses_blob_that_changed_after_listing(azure: RunningStore, tmp_path: Path, size: int) -> None:
    SecretMount(tmp_path / "secrets", "azure", AZURE_STORAGE_ACCESS_KEY=ACCOUNT_KEY)
    uri = f"https://{ACCOUNT}.blob.core.windows.net/{CONTAINER}/models/changing-{size}"
    writer(azure).put(f"models/changing-{size}/x", b"1" * size)
    source = choose(uri, downloaders(AgentSettings(sources=sources(azure, tmp_path / "secrets"))))
    listing = await source.find(uri)
    writer(azure).put(f"models/changing-{size}/x", b"2" * size)
    with pytest.raises(DownloadError, match="changed while it was downloaded") as caught:
        await source.fetch(listing, tmp_path / "a", Counted())
    assert (caught.value.reason, caught.value.permanent) == ("changed", False)


async def test_azure_reports_missing_account(azure: RunningStore, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the URI names none, and .* lists no secret with AZURE_STORAGE_ACC"):
        await fetch(URIS[2], tmp_path / "a", sources(azure, tmp_path / "secrets"))
