"""A pool of stores, keyed by their options. Each keeps its connections.

The Secrets are checked before every use. A changed Secret leads to other options, and so to another store.
Downloads in progress end with the old one.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import Secrets, read_text
from manyserve.agent.download.object_store.azure import azure_options
from manyserve.agent.download.object_store.gcs import MetadataServer, gcs_options, wants_identity
from manyserve.agent.download.object_store.location import AZURE, GCS, S3, ObjectLocation, StoreOptions
from manyserve.agent.download.object_store.s3 import CA_BUNDLE, s3_options, s3_secret
from manyserve.agent.download.ssrf import check_endpoint
from manyserve.agent.settings import AgentSettings
from manyserve.redaction import one_line

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# Short, because the agent itself retries with backoff and reports the error meanwhile.
RETRIES: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_CLOSED_PROXY = "http://127.0.0.1:1"
_PEM_START = "-----BEGIN"


class StorePool:
    """Opens stores. Raises `DownloadError` for unusable settings or Secrets."""

    def __init__(self, settings: AgentSettings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
        self._metadata = MetadataServer(os.environ)
        self._cached = lru_cache(maxsize=64)(self._open)

    async def open(self, location: ObjectLocation) -> ObjectStore:
        """Return the store of a location, by the present Secrets."""
        options = await self._options(location)
        if options.has_user_endpoint:
            await check_endpoint(options.endpoint, self._settings.sources.allowed_networks)
        try:
            return self._cached(options)
        except Exception as error:  # noqa: BLE001 (obstore raises many types; their texts may hold keys)
            kind = type(error).__name__
            sentence = f"{location.root} cannot be opened with these credentials and settings ({kind})"
            raise DownloadError(sentence, reason="credentials", permanent=True) from None

    async def hint(self, location: ObjectLocation) -> str:
        """Return the hint for requests that the store denies; empty for one with credentials."""
        because = (await self._options(location)).anonymous_because
        return f"the request was anonymous: {because}" if because else ""

    async def _options(self, location: ObjectLocation) -> StoreOptions:
        sources, secrets = self._settings.sources, await asyncio.to_thread(self._secrets.by_name)
        if location.kind == S3:
            bundle = s3_secret(sources, secrets).get(CA_BUNDLE, "")
            certificates = _pem(bundle, sources.s3_ca_file or sources.ca_file)
            return s3_options(location, sources, secrets, os.environ, certificates)
        certificates = _pem("", sources.ca_file)
        if location.kind == AZURE:
            return azure_options(location, sources, secrets, os.environ, certificates)
        identity = wants_identity(sources, secrets) and await self._metadata.is_available()
        return gcs_options(location, sources, secrets, certificates, identity=identity)

    def _open(self, options: StoreOptions) -> ObjectStore:
        from obstore import store  # noqa: PLC0415 (only when needed: it is large)

        kinds: dict[str, Any] = {GCS: store.GCSStore, S3: store.S3Store, AZURE: store.AzureStore}
        opened: ObjectStore = kinds[options.kind](
            options.bucket,
            config=dict(options.config),
            client_options=self._client_config(options),
            retry_config=RETRIES,
        )
        return opened

    def _client_config(self, options: StoreOptions) -> ClientConfig:
        client: ClientConfig = {
            "allow_http": options.endpoint.startswith("http://"),
            "allow_invalid_certificates": not options.verify_tls,
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=self._settings.stall_seconds),
            "timeout": timedelta(seconds=self._settings.download_seconds),
        }
        if options.certificates:
            client["root_certificate"] = options.certificates
        return client | _no_other_host(options.endpoint) if options.has_user_endpoint else client


def _no_other_host(endpoint: str) -> ClientConfig:
    """Return options that block redirects to other hosts, for an endpoint from a user.

    obstore follows all redirects. So all requests go to a proxy at a closed port, except to the store's own host
    and to Amazon's hosts, which issue tokens.
    """
    return {"proxy_url": _CLOSED_PROXY, "proxy_excludes": f"{urlsplit(endpoint).hostname},.amazonaws.com"}


def _pem(bundle: str, file: Path | None) -> str:
    """Return the certificates of a Secret, which holds them or the path of a file, or else of the settings' file."""
    if _PEM_START in bundle:
        return bundle
    path = Path(bundle) if bundle else file
    certificates = read_text(path) if path else ""
    if certificates is None:
        sentence = one_line(f"the certificates in {path} cannot be read")
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return certificates
