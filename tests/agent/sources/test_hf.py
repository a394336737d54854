"""Models of the Hugging Face hub, from one that speaks its protocol over real TLS."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from manyserve.agent.download import DownloadError
from manyserve.agent.download.credentials import Secrets
from manyserve.agent.download.http.downloader import make_client
from manyserve.agent.download.huggingface.downloader import HubDownloader, hub_api, parse_location
from manyserve.agent.settings import AgentSettings
from manyserve.agent.storage_settings import SourceSettings
from manyserve.agent.threads import in_thread
from tests.agent.sources.archives import contents, open_files
from tests.agent.sources.hub import COMMIT, Hub
from tests.agent.sources.webserver import Names, Site, Trust
from tests.agent.support import CancelOnArrival, Counted

URI = "hf://org/model"
FILES = {"config.json": b"{}", "1/model.safetensors": os.urandom(350_000), "1/ein modell.txt": b"t", "empty": b""}


@pytest.fixture
async def hub(trust: Trust) -> AsyncIterator[Hub]:
    site, cdn = Site(), Site()
    servers = [await site.start(trust.tls), await cdn.start(trust.tls, "127.0.0.2")]
    hub = Hub(site, cdn, dict(FILES))
    hub.open()
    yield hub
    for server in servers:
        await server.close()
    hub_api.cache_clear()


@pytest.fixture
def config(hub: Hub, trust: Trust, tmp_path: Path) -> AgentSettings:
    sources = SourceSettings(
        hf_endpoint=hub.site.url("", host="127.0.0.1"),  # trusted, though it is no public address
        allowed_networks=(ip_network("127.0.0.2/32"),),  # the host of the large files is not
        ca_file=trust.ca_file,
        credentials_dir=tmp_path / "secrets",
        range_bytes=100_000,
    )
    return AgentSettings(sources=sources, stall_seconds=10)


def reader(config: AgentSettings) -> HubDownloader:
    client = replace(make_client(config), resolver=Names({"cdn.test": [["127.0.0.2"]], "inner.test": [["10.0.0.1"]]}))
    return HubDownloader(config, Secrets(config.sources.credentials_dir), asyncio.Semaphore(4), client)


def give_token(config: AgentSettings, token: str) -> None:
    folder = config.sources.credentials_dir / "hub"
    folder.mkdir(parents=True)
    (folder / "HF_TOKEN").write_text(token)


async def fetched(source: HubDownloader, folder: Path, uri: str = URI) -> dict[str, bytes]:
    counted = Counted()
    await source.fetch(await source.find(uri), folder, counted)
    files = contents(folder)
    assert counted.came == counted.lies == sum(map(len, files.values()))
    return files


async def fails(source: HubDownloader, folder: Path, uri: str = URI, *, permanent: bool = True) -> str:
    async with asyncio.timeout(20):
        with pytest.raises(DownloadError) as caught:
            await fetched(source, folder, uri)
    assert caught.value.permanent is permanent, str(caught.value)
    assert str(caught.value).isprintable()
    return str(caught.value)


async def test_the_files_of_the_commit_are_brought(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    assert await fetched(reader(config), tmp_path / "a") == FILES
    asked = [request.path for request in hub.site.seen if "/resolve/" in request.path]
    assert all(path.startswith(f"/org/model/resolve/{COMMIT}/") for path in asked)
    ranges = sorted(request.headers["Range"] for request in hub.cdn.seen)
    assert ranges == ["bytes=0-99999", "bytes=100000-199999", "bytes=200000-299999", "bytes=300000-349999"]


async def test_a_revision_and_a_folder_may_be_named(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    assert await fetched(reader(config), tmp_path / "a", f"{URI}/1:v1") == {
        name.removeprefix("1/"): data for name, data in FILES.items() if name.startswith("1/")
    }
    assert hub.site.seen[0].path == "/api/models/org/model/revision/v1"
    assert await fails(reader(config), tmp_path, f"{URI}/2") == f"{URI}/2 has no files"


def test_a_uri_names_a_repository_a_folder_and_a_revision() -> None:
    found = parse_location("hf://org/model-1.5/a/b:refs/pr/1")
    assert (found.repo, found.folder, found.revision) == ("org/model-1.5", "a/b/", "refs/pr/1")
    assert parse_location("hf://org/model/").revision is None


@pytest.mark.parametrize(
    "uri", ["hf://model", "hf://org/", "hf:///a/b", "hf://org/../x", "hf://o@rg/m", "hf://o/m:", ""]
)
def test_a_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(DownloadError, match="is not of the form hf://organisation/model"):
        parse_location(uri)


async def test_a_listing_changes_with_the_content_alone(hub: Hub, config: AgentSettings) -> None:
    source = reader(config)
    before = await source.find(URI)
    assert (before.size, len(before.files)) == (sum(map(len, FILES.values())), 4)
    assert (await source.find(f"{URI}:v1")).fingerprint == before.fingerprint
    hub.files["config.json"] = b"[]"
    assert (await source.find(URI)).fingerprint != before.fingerprint


async def test_the_first_listings_may_come_all_at_once(hub: Hub, config: AgentSettings) -> None:
    source = reader(config)
    found = await asyncio.gather(*(source.find(URI) for _ in range(16)))
    assert len({listing.fingerprint for listing in found}) == 1


@pytest.mark.parametrize("name", ["config.json", "1/model.safetensors"])
async def test_a_file_that_is_not_the_listed_one_is_refused(
    hub: Hub, config: AgentSettings, tmp_path: Path, name: str
) -> None:
    source = reader(config)
    listing = await source.find(URI)
    wrong = FILES[name][::-1]
    hub.files[name] = wrong
    hub.cdn.gives(f"/blobs/{name}", wrong, {"ETag": '"cdn"'})
    with pytest.raises(DownloadError, match="did not arrive as it was sent: its sha"):
        await source.fetch(listing, tmp_path / "a", Counted())


async def test_a_hub_that_tells_no_hashes_is_read_all_the_same(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    hub.metadata = False
    source = reader(config)
    assert {file.version for file in (await source.find(URI)).files} == {f"commit:{COMMIT}"}
    assert await fetched(source, tmp_path / "a") == FILES


async def test_the_token_goes_to_the_hub_and_nowhere_else(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    give_token(config, "hf_s3cret")
    hub.token = "hf_s3cret"
    assert await fetched(reader(config), tmp_path / "a") == FILES
    assert {request.headers.get("Authorization") for request in hub.site.seen} == {"Bearer hf_s3cret"}
    assert {request.headers.get("Authorization") for request in hub.cdn.seen} == {None}


async def test_a_gated_model_says_what_it_needs(hub: Hub, config: AgentSettings, tmp_path: Path) -> None:
    hub.token = "hf_other"
    assert await fails(reader(config), tmp_path) == (
        f"{URI} may not be read: it is gated or private; the host's ServiceAccount needs a secret with the key HF_TOKEN"
    )
    give_token(config, "hf_s3cret")
    assert await fails(reader(config), tmp_path) == (
        f"{URI} may not be read: the HF_TOKEN in the secret may not; ask its owner for access"
    )


async def test_a_missing_repository_and_a_missing_revision_are_named(
    hub: Hub, config: AgentSettings, tmp_path: Path
) -> None:
    words = "was not found, or it is private and needs an HF_TOKEN"
    assert await fails(reader(config), tmp_path, "hf://org/missing") == f"hf://org/missing {words}"
    assert await fails(reader(config), tmp_path, "hf://org/nothing") == f"hf://org/nothing {words}"
    words = "was not found: the repository has no revision none"
    assert await fails(reader(config), tmp_path, f"{URI}:none") == f"{URI}:none {words}"
    give_token(config, "hf_s3cret")
    words = "was not found, or the HF_TOKEN in the secret may not see it"
    assert await fails(reader(config), tmp_path, "hf://org/missing") == f"hf://org/missing {words}"


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
async def test_input_09_a_hub_that_redirects_inside_is_refused(
    hub: Hub, config: AgentSettings, tmp_path: Path, to: str, words: str
) -> None:
    hub.to = to
    assert (await fails(reader(config), tmp_path)).startswith(f"{URI} may not be read: {words}")


@pytest.mark.parametrize("name", ["../up", "a//b", "/abs", "a/\n"])
async def test_a_name_that_leads_elsewhere_is_refused(
    hub: Hub, config: AgentSettings, tmp_path: Path, name: str
) -> None:
    hub.files[name] = b"x"
    assert "of org/model is refused" in await fails(reader(config), tmp_path)


def at(hub: Site, config: AgentSettings) -> AgentSettings:
    """Return the settings for a hub without TLS."""
    return config.model_copy(
        update={"sources": config.sources.model_copy(update={"hf_endpoint": f"http://127.0.0.1:{hub.port}"})}
    )


async def test_a_hub_that_fails_hangs_or_is_gone_is_named(
    hub: Hub, plain: Site, config: AgentSettings, tmp_path: Path
) -> None:
    async def broken(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    hub.site.handlers["/api/models/org/model"] = broken
    said = await fails(reader(config), tmp_path, permanent=False)
    assert said == f"{URI} could not be read: the hub answered 503"

    hanging = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await hanging.wait()
        return web.Response(status=503)

    plain.handlers["/api/models/org/model"] = hangs
    hung = at(plain, config).model_copy(update={"stall_seconds": 0.5})
    said = await fails(reader(hung), tmp_path, permanent=False)
    hanging.set()
    assert said.startswith(f"{URI} could not be read: the hub ")
    gone = config.model_copy(
        update={"sources": config.sources.model_copy(update={"hf_endpoint": "https://127.0.0.1:1"})}
    )
    said = await fails(reader(gone), tmp_path, permanent=False)
    assert said.startswith(f"{URI} could not be read: the hub is not reached")


async def test_a_hub_that_drips_takes_no_thread_from_other_models(plain: Site, config: AgentSettings) -> None:
    over = asyncio.Event()

    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not over.is_set():
            await response.write(b" ")
            await asyncio.sleep(0.05)
        return response

    plain.handlers["/api/models/org/model"] = drips
    source = reader(at(plain, config).model_copy(update={"stall_seconds": 1}))
    found = await asyncio.gather(*(source.find(URI) for _ in range(50)), return_exceptions=True)
    try:
        assert {str(each) for each in found} == {f"{URI} could not be read: the hub did not answer in time"}
        async with asyncio.timeout(5):
            assert await asyncio.gather(*(in_thread(str, number) for number in range(50)))
    finally:
        over.set()


@pytest.mark.parametrize("name", ["model.git", "mo--del", ".model"])
async def test_a_name_that_no_repository_can_have_is_named(config: AgentSettings, tmp_path: Path, name: str) -> None:
    said = await fails(reader(config), tmp_path, f"hf://org/{name}")
    assert said.startswith(f"hf://org/{name} is no name of the hub: ")


async def test_a_download_that_is_cancelled_leaves_nothing_open(
    hub: Hub, config: AgentSettings, tmp_path: Path
) -> None:
    source, progress = reader(config), CancelOnArrival()
    listing = await source.find(URI)
    download = progress.task = asyncio.create_task(source.fetch(listing, tmp_path / "a", progress))
    await asyncio.wait({download})
    assert download.cancelled()
    assert open_files(tmp_path / "a") == 0
