"""Opening stores: the options of the moment in, one store for equal options out, kept with its connections.

The secrets are looked at before every use. When one was changed, the options are others, and so is the store:
who reads with the old one meanwhile goes on with it to the end.
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
from manyserve.agent.download.credentials import Secrets, text_of
from manyserve.agent.download.endpoints import check_endpoint
from manyserve.agent.download.object_store.azure import azure_options
from manyserve.agent.download.object_store.gcp_metadata import MetadataServer
from manyserve.agent.download.object_store.gcs import gcs_options, wants_identity
from manyserve.agent.download.object_store.location import AZURE, GCS, S3, ObjectLocation
from manyserve.agent.download.object_store.options import StoreOptions
from manyserve.agent.download.object_store.s3 import CA_BUNDLE, s3_options, s3_secret
from manyserve.agent.redaction import one_line
from manyserve.agent.settings import AgentSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# Short: the agent tries again itself, with its own clock, and can say meanwhile what is wrong.
RETRIES: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_NOWHERE = "http://127.0.0.1:1"
_BEGIN = "-----BEGIN"


class StorePool:
    """Opens stores. Raises `DownloadError` when what the settings or secrets say cannot be used."""

    def __init__(self, settings: AgentSettings, secrets: Secrets) -> None:
        self._settings = settings
        self._secrets = secrets
        self._metadata = MetadataServer(os.environ)
        self._opened = lru_cache(maxsize=64)(self._open)

    async def open(self, place: ObjectLocation) -> ObjectStore:
        """Return the store of a place, as the secrets are now."""
        options = await self._options(place)
        if options.foreign:
            await check_endpoint(options.endpoint, self._settings.sources.allowed_networks)
        try:
            return self._opened(options)
        except Exception as error:  # noqa: BLE001 (of obstore, of many kinds; their words may hold keys)
            kind = type(error).__name__
            sentence = f"{place.root} cannot be opened with these credentials and settings ({kind})"
            raise DownloadError(sentence, reason="credentials", permanent=True) from None

    async def _options(self, place: ObjectLocation) -> StoreOptions:
        sources, secrets = self._settings.sources, await asyncio.to_thread(self._secrets.folders)
        if place.kind == S3:
            bundle = s3_secret(sources, secrets).get(CA_BUNDLE, "")
            certificates = _pem(bundle, sources.s3_ca_file or sources.ca_file)
            return s3_options(place, sources, secrets, os.environ, certificates)
        certificates = _pem("", sources.ca_file)
        if place.kind == AZURE:
            return azure_options(place, sources, secrets, os.environ, certificates)
        identity = wants_identity(sources, secrets) and await self._metadata.answers()
        return gcs_options(place, sources, secrets, certificates, identity=identity)

    def _open(self, options: StoreOptions) -> ObjectStore:
        from obstore import store  # noqa: PLC0415 (only when needed: it is large)

        kinds: dict[str, Any] = {GCS: store.GCSStore, S3: store.S3Store, AZURE: store.AzureStore}
        opened: ObjectStore = kinds[options.kind](
            options.bucket,
            config=dict(options.config),
            client_options=self._client(options),
            retry_config=RETRIES,
        )
        return opened

    def _client(self, options: StoreOptions) -> ClientConfig:
        client: ClientConfig = {
            "allow_http": options.endpoint.startswith("http://"),
            "allow_invalid_certificates": not options.verify_tls,
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=self._settings.stall_seconds),
            "timeout": timedelta(seconds=self._settings.download_seconds),
        }
        if options.certificates:
            client["root_certificate"] = options.certificates
        return client | _no_other_host(options.endpoint) if options.foreign else client


def _no_other_host(endpoint: str) -> ClientConfig:
    """Return what keeps a store that is not trusted from redirecting to where it pleases.

    The client follows redirects and cannot be told not to. So all but the store's own host, and Amazon's that
    give out tokens, is behind a proxy that there is not.
    """
    return {"proxy_url": _NOWHERE, "proxy_excludes": f"{urlsplit(endpoint).hostname},.amazonaws.com"}


def _pem(said: str, file: Path | None) -> str:
    """Return certificates: what a secret says, itself or by the path of a file, else those of the settings' file."""
    if _BEGIN in said:
        return said
    path = Path(said) if said else file
    found = text_of(path) if path else ""
    if found is None:
        sentence = one_line(f"the certificates in {path} cannot be read")
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return found
