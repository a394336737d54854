"""Cases of the table about downloads: listings of the hub, addresses, credentials and versions."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from manyserve.agent.concurrency import in_thread
from manyserve.agent.download import DownloadError, Listing, RemoteFile
from manyserve.agent.download.credentials import secret_headers
from manyserve.agent.download.dns import RESOLVER_THREADS, addresses
from manyserve.agent.download.http.downloader import as_read
from manyserve.agent.download.hub_client import LISTING_BYTES, hub_api
from manyserve.agent.download.object_store.azure import azure_options
from manyserve.agent.download.ssrf import AddressPolicy
from manyserve.agent.settings import AgentSettings, SourceSettings
from tests.agent.download.hub import Hub
from tests.agent.download.test_huggingface import URI, make_downloader
from tests.agent.download.test_object_store_options import AZURE, AZURE_KEYS
from tests.agent.download.webserver import Site, make_trust
from tests.agent.test_download_slots import settle
from tests.support.eventually import LIMIT

FAR = 10
"""Multiples of a limit that are far above it."""


async def hub_listing(folder: Path) -> None:
    trust, site = make_trust(folder), Site()
    server = await site.start(trust.tls)
    hub, size = Hub(site, site, {"config.json": b"{}"}), 0
    hub.install()

    async def padded(request: web.Request) -> web.Response:
        listing = await hub.info(request)
        assert isinstance(listing, web.Response)
        return web.Response(body=(listing.text or "").encode().ljust(size), content_type="application/json")

    site.handlers["/api/models/org/model"] = padded
    networks = (ip_network("127.0.0.2/32"),)
    endpoint = site.url("", host="127.0.0.1")
    sources = SourceSettings(hf_endpoint=endpoint, allowed_networks=networks, ca_file=trust.ca_file)
    source = make_downloader(AgentSettings(sources=sources))
    size = LISTING_BYTES
    assert [file.path for file in (await source.find(URI)).files] == ["config.json"]
    size = FAR * LISTING_BYTES
    with pytest.raises(DownloadError, match=f"list of files has more than the limit of {LISTING_BYTES}"):
        await source.find(URI)
    hub_api.cache_clear()
    await server.close()


async def resolver_threads(_: Path) -> None:
    over = threading.Event()

    def look_up(host: str, *_: object, **__: object) -> list[Any]:
        if host.startswith("hangs"):
            over.wait(LIMIT)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 0))]

    def hang(count: int) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(addresses(f"hangs{number}.test")) for number in range(count)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        tasks = hang(RESOLVER_THREADS - 1)
        await settle()
        async with asyncio.timeout(LIMIT):
            assert await addresses("free.test") == [ip_address("8.8.8.8")]
            tasks += hang(FAR * RESOLVER_THREADS)
            await settle()
            waits = asyncio.create_task(addresses("free.test"))
            assert await in_thread(str, 1) == "1"
            assert not waits.done()
            over.set()
            await asyncio.gather(waits, *tasks)


def secret_headers_of_host(_: Path) -> None:
    secrets = {"mine": {"https-host": "models.test", "headers": json.dumps({"X-Token": "s3cret"})}}
    assert secret_headers(URL("https://models.test/x"), secrets) == {"X-Token": "s3cret"}
    for other in ("https://models.test:8443/x", "https://other.test/x", "http://models.test/x"):
        assert not secret_headers(URL(other), secrets)


def azure_sas(_: Path) -> None:
    def options(account: Mapping[str, str]) -> Any:
        secret = {"AZURE_STORAGE_SAS_TOKEN": "?sv=1&sig=hush", **account}
        return azure_options(AZURE, SourceSettings(), {"azure": secret}, {})

    own = options({"AZURE_STORAGE_ACCOUNT": "account"})
    assert own.anonymous_because == ""
    assert dict(own.config)["sas_key"] == "sv=1&sig=hush"
    for account in ({}, {"AZURE_STORAGE_ACCOUNT": "other"}):
        refused = options(account)
        assert dict(refused.config)["skip_signature"] is True
        assert refused.anonymous_because == f"the secret azure does not have {AZURE_KEYS}"
        assert "hush" not in str(refused)


def refused_addresses(_: Path) -> None:
    policy = AddressPolicy()
    for public in ("34.118.223.255", "34.118.240.0", "192.88.98.255", "192.88.100.0"):
        assert policy.refusal(ip_address(public)) == ""
        assert policy.refusal(ip_address(f"::ffff:{public}")) == ""
    for refused in ("34.118.224.0", "34.118.239.255", "192.88.99.0", "192.88.99.255"):
        assert policy.refusal(ip_address(refused))
        assert policy.refusal(ip_address(f"::ffff:{refused}"))


def version_of_response(_: Path) -> None:
    listing = Listing("https://host/a", (RemoteFile("/a", "", 3, '"new"'),))
    assert as_read(listing, {"ETag": '"new"', "Content-Length": "3"}) is listing
    old = as_read(listing, {"ETag": '"old"', "Content-Length": "3"})
    assert old.files[0].version == '"old"'
    assert old.fingerprint != listing.fingerprint, "a refresh reads again"
    assert old.is_versioned
    assert not as_read(listing, {"Content-Length": "3"}).is_versioned
