"""Identities of pods from fake cloud servers on loopback addresses, rotated Secrets, and endpoints from users."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from manyserve.agent.download import Downloader, DownloadError, choose, downloaders
from manyserve.agent.download.object_store.gcs import MetadataServer
from manyserve.agent.download.ssrf import check_endpoint
from manyserve.agent.settings import AgentSettings, SourceSettings
from manyserve.settings_types import networks
from manyserve.webhook.certs.issue import issue_authority, issue_leaf
from tests.agent.download.bucket import CheckedBucket
from tests.agent.mounts import SecretMount
from tests.agent.support import DROPPED_STREAMS, Counted
from tests.support.eventually import LIMIT, eventually

pytestmark = DROPPED_STREAMS

URI = "s3://bucket/models/a"


@pytest.fixture
async def bucket() -> AsyncIterator[CheckedBucket]:
    bucket = CheckedBucket(objects={f"models/a/{name}": name.encode() for name in "abcdefghij"})
    async for url in serving(bucket.app()):
        bucket.url = url
        yield bucket


async def serving(app: web.Application, certificates: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = TestServer(app, host="localhost")
    await server.start_server(ssl=certificates)
    yield str(server.make_url("")).rstrip("/")
    await server.close()


class Cloud:
    """The servers of the clouds that issue tokens."""

    def __init__(self) -> None:
        self.url = ""
        self.queries: list[str] = []
        self.tokens: list[str] = []
        self.flavor = "Google"
        self.hangs = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/sts{path:.*}", self.sts)
        app.router.add_get("/credentials", self.container)
        app.router.add_post("/tenant/oauth2/v2.0/token", self.azure)
        app.router.add_get("/computeMetadata/v1/{path:.*}", self.google)
        app.router.add_get("/container", self.blobs)
        return app

    async def sts(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in [*request.query.items(), *(await request.post()).items()]}
        self.queries.append(f"{form['Action']} {form['RoleArn']}")
        self.tokens.append(form["WebIdentityToken"])
        keys = "<AccessKeyId>irsa</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        return web.Response(
            text=f"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>{keys}"
            "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>",
            content_type="text/xml",
        )

    async def container(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        keys = {"AccessKeyId": "podid", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
        return web.json_response(keys)

    async def azure(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.queries.append(str(form["client_id"]))
        self.tokens.append(str(form["client_assertion"]))
        return web.json_response({"access_token": "azure-token", "expires_in": 3600, "token_type": "Bearer"})

    async def google(self, request: web.Request) -> web.Response:
        if self.hangs:
            await asyncio.sleep(60)
        self.queries.append(request.match_info["path"])
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        token = {"access_token": "google-token", "expires_in": 3600, "token_type": "Bearer"}
        return web.json_response(token, headers={"Metadata-Flavor": self.flavor})

    async def blobs(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        return web.Response(
            text="<EnumerationResults><Blobs><Blob><Name>models/a/x</Name><Properties>"
            "<Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified><Content-Length>1</Content-Length>"
            "<Content-Type>x</Content-Type><Etag>0x8</Etag></Properties></Blob></Blobs><NextMarker/>"
            "</EnumerationResults>",
            content_type="application/xml",
        )


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    cloud = Cloud()
    async for url in serving(cloud.app()):
        cloud.url = url
        yield cloud


@pytest.fixture
async def secure_cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """A cloud with TLS: Amazon's client requests tokens over TLS only."""
    cloud, authority = Cloud(), issue_authority(datetime.now(UTC))
    leaf = issue_leaf(authority, ["localhost"], datetime.now(UTC))
    (tmp_path / "ca").write_bytes(authority.certificate)
    (tmp_path / "pair").write_bytes(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "pair")
    async for url in serving(cloud.app(), context):
        cloud.url = url
        yield cloud


def s3(bucket: CheckedBucket, folder: Path, ca_file: Path | None = None) -> Downloader:
    sources = SourceSettings(credentials_dir=folder, s3_endpoint=bucket.url, s3_region="eu-test-1", s3_ca_file=ca_file)
    return choose(URI, downloaders(AgentSettings(sources=sources)))


async def test_s3_identity_assumes_role_with_web_token(
    bucket: CheckedBucket, secure_cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/models")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{secure_cloud.url}/sts")
    await s3(bucket, tmp_path / "none", tmp_path / "ca").find(URI)
    assert secure_cloud.queries == ["AssumeRoleWithWebIdentity arn:aws:iam::1:role/models"]
    assert secure_cloud.tokens == ["projected"]
    assert "Credential=irsa/" in bucket.signed[0]
    SecretMount(tmp_path / "secrets", "s3", AWS_ACCESS_KEY_ID="static", AWS_SECRET_ACCESS_KEY="s")
    await s3(bucket, tmp_path / "secrets").find(URI)
    assert "Credential=static/" in bucket.signed[1]


async def test_s3_identity_comes_from_credentials_server_of_node(
    bucket: CheckedBucket, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.url}/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    await s3(bucket, tmp_path / "none").find(URI)
    assert cloud.tokens == ["projected"]
    assert "Credential=podid/" in bucket.signed[0]


async def test_azure_identity_uses_federated_token(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", cloud.url)
    uri = "https://account.blob.core.windows.net/container/models/a"
    source = choose(uri, downloaders(AgentSettings(sources=SourceSettings(azure_endpoint=cloud.url))))
    assert [file.path for file in (await source.find(uri)).files] == ["x"]
    assert cloud.queries == ["client"]
    assert cloud.tokens == ["projected", "Bearer azure-token"]


async def test_gcs_identity_comes_from_metadata_server(
    bucket: CheckedBucket, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", cloud.url.partition("://")[2])
    monkeypatch.setattr("manyserve.agent.download.object_store.pool.wants_identity", lambda *_: True)
    uri = "gs://bucket/models/a"
    source = choose(uri, downloaders(AgentSettings(sources=SourceSettings(gcs_endpoint=bucket.url))))
    await source.find(uri)
    assert cloud.queries[0] == "instance/service-accounts/default/email"
    assert bucket.signed == ["Bearer google-token"]


async def test_metadata_server_that_hangs_or_is_not_googles_is_polled_again_later(cloud: Cloud) -> None:
    now = 0.0
    server = MetadataServer({"GCE_METADATA_HOST": cloud.url.partition("://")[2]}, lambda: now)
    cloud.flavor = "other"
    assert not await server.is_available()
    cloud.flavor = "Google"
    assert not await server.is_available()
    now = 1000.0
    cloud.hangs = True
    async with asyncio.timeout(LIMIT):
        assert not await server.is_available()
    cloud.hangs = False
    now = 2000.0
    assert await server.is_available()


async def test_download_in_progress_keeps_old_keys_and_next_uses_new_ones(
    bucket: CheckedBucket, tmp_path: Path
) -> None:
    mount = SecretMount(tmp_path / "secrets", "s3", AWS_ACCESS_KEY_ID="old", AWS_SECRET_ACCESS_KEY="s")
    source = s3(bucket, tmp_path / "secrets")
    listing = await source.find(URI)
    bucket.barrier_size = 100
    running = asyncio.create_task(source.fetch(listing, tmp_path / "a", Counted()))
    await eventually(lambda: bucket.active == 4)
    mount.write(AWS_ACCESS_KEY_ID="new", AWS_SECRET_ACCESS_KEY="s")
    await source.find(URI)
    assert "Credential=new/" in bucket.signed[1]
    bucket.barrier.set()
    await running
    assert len(bucket.signed) == 12
    assert all("Credential=old/" in each for each in bucket.signed[2:])


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:9", "127.0.0.1 of a secret or an annotation is refused: it is a loopback address"),
        (
            "http://169.254.169.254",
            "169.254.169.254 of a secret or an annotation is refused: it is an address of the cloud",
        ),
        ("http://169.254.1.1", "is refused: it is a link-local address"),
        ("http://[::1]:9", "is refused: it is a loopback address"),
        ("http://[::ffff:169.254.169.254]", "is refused: it is an address of the cloud's own"),
        ("http://0.0.0.0:9", "is refused: it is the unspecified address"),
        ("http://[::ffff:0.0.0.0]:9", "is refused: it is the unspecified address"),
        ("http://[64:ff9b::]:9", "is refused: it is the unspecified address"),
        ("http://localhost:9", "localhost of a secret or an annotation is refused: it is a loopback address"),
        ("http://2130706433", "is refused: .*odd spelling"),
    ],
)
async def test_endpoint_of_secret_on_pod_or_node_is_refused(tmp_path: Path, endpoint: str, words: str) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ENDPOINT_URL": endpoint}
    SecretMount(tmp_path, "s3", **keys)
    source = choose(URI, downloaders(AgentSettings(sources=SourceSettings(credentials_dir=tmp_path))))
    with pytest.raises(DownloadError, match=words) as caught:
        await source.find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("forbidden", True)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("bundle", ["/dev/zero", "/none", "/proc", "/proc/self/exe"])
async def test_certificates_of_secret_that_are_no_text_file_are_reported(
    bucket: CheckedBucket, tmp_path: Path, bundle: str
) -> None:
    SecretMount(tmp_path, "s3", AWS_CA_BUNDLE=bundle)
    async with asyncio.timeout(LIMIT):
        with pytest.raises(DownloadError, match=f"the certificates in {bundle} cannot be read") as caught:
            await s3(bucket, tmp_path).find(URI)
    assert (caught.value.reason, caught.value.permanent) == ("credentials", True)


async def test_certificates_of_secret_may_have_comments(bucket: CheckedBucket, tmp_path: Path) -> None:
    authority = issue_authority(datetime.now(UTC)).certificate.decode()
    SecretMount(tmp_path, "s3", AWS_CA_BUNDLE=f"# F\N{LATIN SMALL LETTER O WITH DOUBLE ACUTE}\n{authority}")
    assert (await s3(bucket, tmp_path).find(URI)).size == 10


async def test_endpoint_of_secret_may_be_in_allowed_network(bucket: CheckedBucket, tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ENDPOINT_URL": bucket.url}
    SecretMount(tmp_path, "s3", **keys)
    sources = SourceSettings(credentials_dir=tmp_path, allowed_networks=networks("127.0.0.0/8"))
    assert (await choose(URI, downloaders(AgentSettings(sources=sources))).find(URI)).size == 10


async def test_endpoint_of_secret_cannot_redirect_to_other_host(
    bucket: CheckedBucket, cloud: Cloud, tmp_path: Path
) -> None:
    async def redirect(_: web.Request) -> web.Response:
        elsewhere = cloud.url.replace("localhost", "127.0.0.1")
        return web.Response(status=302, headers={"Location": f"{elsewhere}/credentials"})

    app = web.Application()
    app.router.add_get("/{path:.*}", redirect)
    async for url in serving(app):
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ENDPOINT_URL": url}
        SecretMount(tmp_path, "s3", **keys)
        sources = SourceSettings(credentials_dir=tmp_path, allowed_networks=networks("127.0.0.0/8,::1/128"))
        with pytest.raises(DownloadError, match="could not be read"):
            await choose(URI, downloaders(AgentSettings(sources=sources))).find(URI)
    assert cloud.tokens == []


@pytest.mark.parametrize("endpoint", ["http://10.1.2.3:9000", "http://192.168.1.1", "https://100.64.0.9"])
async def test_endpoint_of_secret_may_be_in_cluster(endpoint: str) -> None:
    await check_endpoint(endpoint, ())  # passes when nothing is raised


async def test_credentials_that_are_unusable_are_reported_without_content(tmp_path: Path) -> None:
    key_file = '{"client_email": "a@b", "private_key": "hush", "private_key_id": "1"}'
    SecretMount(tmp_path, "gcs", **{"gcloud-application-credentials.json": key_file})
    uri = "gs://bucket/models/a"
    source = choose(uri, downloaders(AgentSettings(sources=SourceSettings(credentials_dir=tmp_path))))
    with pytest.raises(DownloadError, match="gs://bucket cannot be opened with these credentials") as caught:
        await source.find(uri)
    assert (caught.value.reason, caught.value.permanent) == ("credentials", True)
    assert "hush" not in str(caught.value)
