"""Downloads from an S3 gateway, with Secrets in KServe's form."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from obstore.store import S3Store

from manyserve.agent.download import DownloadError, choose, downloaders
from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.webhook.certs.issue import KeyPair, issue_authority, issue_leaf
from tests.agent.mounts import SecretMount
from tests.agent.support import Counted
from tests.stores import programs
from tests.stores.conftest import ARCHIVE, FILES, LOOPBACK, PACKED, RANGE, fetch, read, seed, unpacked
from tests.stores.programs import BUCKET, KEY, SECRET, RunningStore

URI = f"s3://{BUCKET}/models/a"


@pytest.fixture(scope="module", autouse=True)
def _seeded(s3: RunningStore) -> None:
    seed(writer(s3), "a")


def writer(running: RunningStore, **client: object) -> S3Store:
    config = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": running.url, "region": "us-east-1"}
    options = {"allow_http": True, **client}
    return S3Store(BUCKET, config=config, client_options=options)  # type: ignore[arg-type]


def secret(folder: Path, running: RunningStore, **further: str) -> SecretMount:
    host = running.url.partition("://")[2]
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": f"{SECRET}\n"}
    return SecretMount(folder, "s3", **{**keys, "S3_ENDPOINT": host, "S3_USE_HTTPS": "0", **further})


def sources(folder: Path) -> SourceSettings:
    return SourceSettings(credentials_dir=folder, allowed_networks=LOOPBACK, range_bytes=RANGE)


async def test_s3_reads_with_keys_and_endpoint_of_secret(s3: RunningStore, tmp_path: Path) -> None:
    secret(tmp_path / "secrets", s3)
    assert await fetch(URI, tmp_path / "a", sources(tmp_path / "secrets")) == FILES


async def test_s3_trusts_endpoint_of_settings(s3: RunningStore, tmp_path: Path) -> None:
    SecretMount(tmp_path / "secrets", "old", awsAccessKeyID=KEY, awsSecretAccessKey=SECRET)
    settings = SourceSettings(credentials_dir=tmp_path / "secrets", s3_endpoint=s3.url, s3_region="us-east-1")
    assert await fetch(URI, tmp_path / "a", settings) == FILES


async def test_s3_reads_single_object_as_model(s3: RunningStore, tmp_path: Path) -> None:
    secret(tmp_path / "secrets", s3)
    files = await fetch(f"{URI}/config.pbtxt", tmp_path / "a", sources(tmp_path / "secrets"))
    assert files == {"config.pbtxt": FILES["config.pbtxt"]}


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/models/packed", f"s3://{BUCKET}/models/packed/m.tar.gz"])
async def test_s3_unpacks_archive_that_is_only_object(s3: RunningStore, tmp_path: Path, uri: str) -> None:
    secret(tmp_path / "secrets", s3)
    writer(s3).put("models/packed/m.tar.gz", ARCHIVE)
    assert await unpacked(uri, tmp_path / "a", sources(tmp_path / "secrets")) == PACKED


@pytest.mark.parametrize(
    ("uri", "words", "reason"),
    [
        (f"s3://{BUCKET}/models/none", f"s3://{BUCKET}/models/none has no objects", "not_found"),
        ("s3://no-such-bucket/models/a", "s3://no-such-bucket/models/a was not found: .*NoSuchBucket", "not_found"),
    ],
)
async def test_s3_reports_missing_bucket_or_prefix(
    s3: RunningStore, tmp_path: Path, uri: str, words: str, reason: str
) -> None:
    secret(tmp_path / "secrets", s3)
    with pytest.raises(DownloadError, match=words) as caught:
        await fetch(uri, tmp_path / "a", sources(tmp_path / "secrets"))
    assert (caught.value.reason, caught.value.permanent) == (reason, True)


async def test_s3_uses_rotated_keys_without_restart(s3: RunningStore, tmp_path: Path) -> None:
    mount = secret(tmp_path / "secrets", s3, AWS_SECRET_ACCESS_KEY="hush-hush")
    source = choose(URI, downloaders(AgentSettings(sources=sources(tmp_path / "secrets"))))
    with pytest.raises(DownloadError, match=r"may not be read: .*SignatureDoesNotMatch") as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("forbidden", True)
    assert "hush" not in str(caught.value)
    assert KEY not in str(caught.value)
    host = s3.url.partition("://")[2]
    mount.write(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, S3_ENDPOINT=host, S3_USE_HTTPS="0")
    assert await read(source, URI, tmp_path / "a") == FILES


@pytest.mark.parametrize("size", [100, 3 * RANGE])
async def test_s3_refuses_object_that_changed_after_listing(s3: RunningStore, tmp_path: Path, size: int) -> None:
    secret(tmp_path / "secrets", s3)
    uri = f"s3://{BUCKET}/models/changing-{size}"
    writer(s3).put(f"models/changing-{size}/x", b"1" * size)
    source = choose(uri, downloaders(AgentSettings(sources=sources(tmp_path / "secrets"))))
    listing = await source.find(uri)
    writer(s3).put(f"models/changing-{size}/x", b"2" * size)
    with pytest.raises(DownloadError, match="changed while it was downloaded") as caught:
        await source.fetch(listing, tmp_path / "a", Counted())
    assert (caught.value.reason, caught.value.permanent) == ("changed", False)


async def test_s3_private_bucket_needs_keys(s3: RunningStore, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"may not be read: .*AccessDenied.*; the request was anonym") as caught:
        await fetch(URI, tmp_path / "a", SourceSettings(s3_endpoint=s3.url))
    assert caught.value.reason == "forbidden"


async def test_s3_refuses_loopback_endpoint_of_secret(s3: RunningStore, tmp_path: Path) -> None:
    secret(tmp_path / "secrets", s3)
    with pytest.raises(
        DownloadError, match="the S3 endpoint localhost of a secret or an annotation is refused: it is a loop"
    ):
        await fetch(URI, tmp_path / "a", SourceSettings(credentials_dir=tmp_path / "secrets"))


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return issue_authority(datetime.now(UTC))


@pytest.fixture(scope="module")
def secure(authority: KeyPair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    folder = tmp_path_factory.mktemp("s3-tls")
    leaf = issue_leaf(authority, ["localhost"], datetime.now(UTC))
    (folder / "cert").write_bytes(leaf.certificate)
    (folder / "key").write_bytes(leaf.key)
    words = ["--cert", str(folder / "cert"), "--key", str(folder / "key")]
    with programs.s3(folder, *words, scheme="https") as running:
        seed(writer(running, allow_invalid_certificates=True), "a")
        yield running


async def test_s3_trusts_ca_bundle_of_secret(secure: RunningStore, authority: KeyPair, tmp_path: Path) -> None:
    secret(tmp_path / "secrets", secure, S3_USE_HTTPS="1", AWS_CA_BUNDLE=authority.certificate.decode())
    assert await fetch(URI, tmp_path / "a", sources(tmp_path / "secrets")) == FILES


async def test_s3_trusts_ca_file_of_settings(secure: RunningStore, authority: KeyPair, tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(authority.certificate)
    secret(tmp_path / "secrets", secure, S3_USE_HTTPS="1")
    settings = SourceSettings(
        credentials_dir=tmp_path / "secrets", allowed_networks=LOOPBACK, s3_ca_file=tmp_path / "ca"
    )
    assert await fetch(URI, tmp_path / "a", settings) == FILES


async def test_s3_refuses_unknown_authority_unless_verification_is_off(secure: RunningStore, tmp_path: Path) -> None:
    mount = secret(tmp_path / "secrets", secure, S3_USE_HTTPS="1")
    source = choose(URI, downloaders(AgentSettings(sources=sources(tmp_path / "secrets"))))
    with pytest.raises(DownloadError, match=r"could not be read: .*UnknownIssuer"):
        await source.find(URI)
    host = secure.url.partition("://")[2]
    mount.write(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, S3_ENDPOINT=host, S3_VERIFY_SSL="0")
    assert await read(source, URI, tmp_path / "a") == FILES
