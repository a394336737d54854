"""Downloads from a fake Hugging Face hub, over real TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import make_client
from manyserve.agent.download.hub_client import LISTING_BYTES, hub_api
from manyserve.agent.download.huggingface import HubDownloader, parse_location
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.download.archives import contents, open_files
from tests.agent.download.hub import COMMIT, Hub
from tests.agent.download.webserver import FakeDns, Site, Trust
from tests.agent.mounts import SecretMount
from tests.agent.support import CancelOnArrival, Counted
from tests.support.eventually import LIMIT

URI = "hf://org/model"
FILES = {"config.json": b"{}", "1/model.safetensors": os.urandom(350_000), "1/ein modell.txt": b"t", "empty": b""}


@pytest.fixture
async def hub(trust: Trust) -> AsyncIterator[Hub]:
    site, cdn = Site(), Site()
    servers = [await site.start(trust.tls), await cdn.start(trust.tls, "127.0.0.2")]
    hub = Hub(site, cdn, dict(FILES))
    hub.install()
    yield hub
    for server in servers:
        await server.close()
    hub_api.cache_clear()


@pytest.fixture
def config(hub: Hub, trust: Trust, tmp_path: Path) -> AgentSettings:
    sources = SourceSettings(
        hf_endpoint=hub.site.url("", host="127.0.0.1"),  # trusted, although the address is not public
        allowed_networks=(ip_network("127.0.0.2/32"),),  # the host of large files is not trusted
        ca_file=trust.ca_file,
        credentials_dir=tmp_path / "secrets",
        range_bytes=100_000,
    )
    return AgentSettings(sources=sources, stall_seconds=60)


def make_downloader(config: AgentSettings) -> HubDownloader:
    client = replace(make_client(config), resolver=FakeDns({"cdn.test": [["127.0.0.2"]], "inner.test": [["10.0.0.1"]]}))
    return HubDownloader(config, Secrets(config.sources.credentials_dir), client)


def give_token(config: AgentSettings, token: str) -> None:
    folder = config.sources.credentials_dir / "hub"
    folder.mkdir(parents=True)
    (folder / "HF_TOKEN").write_text(token)


async def fetch(source: HubDownloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


async def fetch_error(source: HubDownloader, folder: Path, uri: str = URI, *, permanent: bool = True) -> str:
    async with asyncio.timeout(LIMIT):
        with pytest.raises(DownloadError) as caught:
            await fetch(source, folder, uri)
    assert caught.value.permanent is permanent, str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


async def test_hub_files_of_commit_are_downloaded(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    assert await fetch(make_downloader(config), tmp_path / "a") == FILES
    asked = [request.path for request in hub.site.requests if "/resolve/" in request.path]
    assert all(path.startswith(f"/org/model/resolve/{COMMIT}/") for path in asked)
    ranges = sorted(request.headers["Range"] for request in hub.cdn.requests)
    assert ranges == ["bytes=0-99999", "bytes=100000-199999", "bytes=200000-299999", "bytes=300000-349999"]


async def test_hub_uri_may_name_revision_and_folder(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    assert await fetch(make_downloader(config), tmp_path / "a", f"{URI}/1:v1") == {
        name.removeprefix("1/"): data for name, data in FILES.items() if name.startswith("1/")
    }
    assert hub.site.requests[0].path == "/api/models/org/model/revision/v1"
    assert await fetch_error(make_downloader(config), tmp_path, f"{URI}/2") == f"{URI}/2 has no files"


def test_hub_uri_is_parsed() -> None:
    location = parse_location("hf://org/model-1.5/a/b:refs/pr/1")
    assert (location.repo, location.folder, location.revision) == ("org/model-1.5", "a/b/", "refs/pr/1")
    assert parse_location("hf://org/model/").revision is None


@pytest.mark.parametrize(
    "uri", ["hf://model", "hf://org/", "hf:///a/b", "hf://org/../x", "hf://o@rg/m", "hf://o/m:", ""]
)
def test_hub_uri_of_other_form_is_refused(uri: str) -> None:
    with pytest.raises(DownloadError, match="is not of the form hf://organisation/model"):
        parse_location(uri)


async def test_hub_listing_changes_only_with_content(hub: Hub, config: AgentSettings) -> None:
    source = make_downloader(config)
    before = await source.find(URI)
    assert (before.size, len(before.files)) == (sum(map(len, FILES.values())), 4)
    assert (await source.find(f"{URI}:v1")).fingerprint == before.fingerprint
    hub.files["config.json"] = b"[]"
    assert (await source.find(URI)).fingerprint != before.fingerprint


async def test_hub_listings_may_run_in_parallel(hub: Hub, config: AgentSettings) -> None:
    source = make_downloader(config)
    listings = await asyncio.gather(*(source.find(URI) for _ in range(16)))
    assert len({listing.fingerprint for listing in listings}) == 1


@pytest.mark.parametrize("name", ["config.json", "1/model.safetensors"])
async def test_hub_file_with_other_hash_is_refused(hub: Hub, config: AgentSettings, tmp_path: Path, name: str) -> None:
    source = make_downloader(config)
    listing = await source.find(URI)
    wrong = FILES[name][::-1]
    hub.files[name] = wrong
    hub.cdn.serve(f"/blobs/{name}", wrong, {"ETag": '"cdn"'})
    with pytest.raises(DownloadError, match="did not arrive as it was sent: its sha"):
        await source.fetch(listing, tmp_path / "a", Counted())


async def test_hub_without_hashes_is_read(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    hub.metadata = False
    source = make_downloader(config)
    assert {file.version for file in (await source.find(URI)).files} == {f"commit:{COMMIT}"}
    assert await fetch(source, tmp_path / "a") == FILES


async def test_hub_token_goes_to_hub_only(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    give_token(config, "hf_s3cret")
    hub.token = "hf_s3cret"
    assert await fetch(make_downloader(config), tmp_path / "a") == FILES
    assert {request.headers.get("Authorization") for request in hub.site.requests} == {"Bearer hf_s3cret"}
    assert {request.headers.get("Authorization") for request in hub.cdn.requests} == {None}


async def test_hub_error_of_gated_model_names_token(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    hub.token = "hf_other"
    words = f"{URI} may not be read: it is gated or private; "
    lists_none = "the host's ServiceAccount lists no secret with the key HF_TOKEN"
    assert await fetch_error(make_downloader(config), tmp_path) == f"{words}{lists_none}"
    SecretMount(config.sources.credentials_dir, "other", token="hf_s3cret")
    lacks = "the secret other does not have the key HF_TOKEN"
    assert await fetch_error(make_downloader(config), tmp_path) == f"{words}{lacks}"
    give_token(config, "hf_s3cret")
    assert await fetch_error(make_downloader(config), tmp_path) == (
        f"{URI} may not be read: the HF_TOKEN in the secret may not; ask its owner for access"
    )


async def test_hub_error_names_missing_repository_or_revision(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    words = "was not found, or it is private; the host's ServiceAccount lists no secret with the key HF_TOKEN"
    assert await fetch_error(make_downloader(config), tmp_path, "hf://org/missing") == f"hf://org/missing {words}"
    assert await fetch_error(make_downloader(config), tmp_path, "hf://org/nothing") == f"hf://org/nothing {words}"
    words = "was not found: the repository has no revision none"
    assert await fetch_error(make_downloader(config), tmp_path, f"{URI}:none") == f"{URI}:none {words}"
    give_token(config, "hf_s3cret")
    words = "was not found, or the HF_TOKEN in the secret may not see it"
    assert await fetch_error(make_downloader(config), tmp_path, "hf://org/missing") == f"hf://org/missing {words}"


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("https://inner.test/x", "it is redirected, and inner.test leads to a private address"),
        (
            "https://169.254.169.254/x",
            "it is redirected, and 169.254.169.254 is an address of the cloud's own services",
        ),
        ("http://cdn.test/x", "127.0.0.1 leads from https to http"),
    ],
)
async def test_input_09_hub_redirect_to_internal_address_is_refused(
    hub: Hub, config: AgentSettings, tmp_path: Path, to: str, words: str
) -> None:
    hub.redirect_to = to
    assert (await fetch_error(make_downloader(config), tmp_path)).startswith(f"{URI} may not be read: {words}")


@pytest.mark.parametrize("name", ["../up", "a//b", "/abs", "a/\n"])
async def test_hub_file_name_that_leads_elsewhere_is_refused(
    hub: Hub, config: AgentSettings, tmp_path: Path, name: str
) -> None:
    hub.files[name] = b"x"
    assert "of org/model is refused" in await fetch_error(make_downloader(config), tmp_path)


def settings_for(site: Site, config: AgentSettings) -> AgentSettings:
    """Return the settings for a hub without TLS."""
    return config.model_copy(
        update={"sources": config.sources.model_copy(update={"hf_endpoint": f"http://127.0.0.1:{site.port}"})}
    )


async def test_hub_that_fails_or_hangs_is_reported(
    hub: Hub, plain: Site, config: AgentSettings, tmp_path: Path
) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    hub.site.handlers["/api/models/org/model"] = broken
    message = await fetch_error(make_downloader(config), tmp_path, permanent=False)
    assert message == f"{URI} could not be read: the hub answered 503"

    hanging = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await hanging.wait()
        return web.Response(status=503)

    plain.handlers["/api/models/org/model"] = hangs
    hung = settings_for(plain, config).model_copy(update={"stall_seconds": 0.5})
    message = await fetch_error(make_downloader(hung), tmp_path, permanent=False)
    hanging.set()
    assert message.startswith(f"{URI} could not be read: the hub ")
    gone = config.model_copy(
        update={"sources": config.sources.model_copy(update={"hf_endpoint": "https://127.0.0.1:1"})}
    )
    message = await fetch_error(make_downloader(gone), tmp_path, permanent=False)
    assert message.startswith(f"{URI} could not be read: the hub cannot be reached")


async def test_hub_that_drips_blocks_no_thread_of_other_models(plain: Site, config: AgentSettings) -> None:
    over = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not over.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    plain.handlers["/api/models/org/model"] = drips
    source = make_downloader(settings_for(plain, config).model_copy(update={"stall_seconds": 1}))
    errors = await asyncio.gather(*(source.find(URI) for _ in range(50)), return_exceptions=True)
    try:
        assert {str(error) for error in errors} == {f"{URI} could not be read: the hub did not answer in time"}
        async with asyncio.timeout(LIMIT):
            assert await asyncio.gather(*(in_thread(str, number) for number in range(50)))
    finally:
        over.set()


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
async def test_hub_listing_is_bounded(hub: Hub, config: AgentSettings, tmp_path: Path, headers: dict[str, str]) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        with suppress(ConnectionError):
            for _ in range(LISTING_BYTES // 1024 + 1024):
                await response.write(b" " * 1024)
        return response

    hub.site.handlers["/api/models/org/model"] = endless
    message = await fetch_error(make_downloader(config), tmp_path, permanent=not headers)
    problem = (
        "the hub compressed its list"
        if headers
        else f"the hub's list of files has more than the limit of {LISTING_BYTES}"
    )
    assert message.startswith(f"{URI} could not be read: {problem}")


@pytest.mark.parametrize("name", ["model.git", "mo--del", ".model"])
async def test_hub_name_that_is_invalid_is_reported(config: AgentSettings, tmp_path: Path, name: str) -> None:
    message = await fetch_error(make_downloader(config), tmp_path, f"hf://org/{name}")
    assert message.startswith(f"hf://org/{name} is no name of the hub: ")


async def test_hub_download_that_is_cancelled_closes_files(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    source, progress = make_downloader(config), CancelOnArrival()
    listing = await source.find(URI)
    download = progress.task = asyncio.create_task(source.fetch(listing, tmp_path / "a", progress))
    await asyncio.wait({download})
    assert download.cancelled()
    assert open_files(tmp_path / "a") == 0
