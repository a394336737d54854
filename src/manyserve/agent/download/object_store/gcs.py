"""Google Cloud Storage: options from the agent's settings, the Secrets and the metadata server.

Credentials are searched in this order: a Secret's key file, the file that the settings name, the pod's identity from
the metadata server. Without any, requests are anonymous. Outside Google's cloud a request to the metadata server
takes long to fail. So it is polled first, with a short timeout.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import aiohttp

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import SecretsByName, without_keys
from manyserve.agent.download.object_store.location import GCS, ObjectLocation, StoreOptions
from manyserve.agent.settings import SourceSettings

_ENDPOINT = "https://storage.googleapis.com"
_METADATA_HOST = "169.254.169.254"
_METADATA_HEADERS = {"Metadata-Flavor": "Google"}
_METADATA_TIMEOUT = 1.0  # seconds
_METADATA_POLL_INTERVAL = 300.0  # seconds, while it does not answer


def gcs_options(
    location: ObjectLocation,
    sources: SourceSettings,
    secrets: SecretsByName,
    certificates: str = "",
    *,
    identity: bool = False,
) -> StoreOptions:
    """Return the options of a bucket. With `identity`, a metadata server provides the pod's identity."""
    config: dict[str, str | bool | None] = {"base_url": sources.gcs_endpoint or _ENDPOINT}  # never a key file's
    anonymous_because = ""
    if key := key_file(sources, secrets):
        config["service_account_key"] = key
    elif sources.gcs_credentials:
        config["application_credentials"] = sources.gcs_credentials
    elif not identity:
        config["skip_signature"] = True
        anonymous_because = without_keys(secrets, sources.gcs_key_name)
    return StoreOptions.of(
        GCS,
        location.bucket,
        config,
        endpoint=sources.gcs_endpoint or "",
        certificates=certificates,
        anonymous_because=anonymous_because,
    )


def wants_identity(sources: SourceSettings, secrets: SecretsByName) -> bool:
    """Return whether the pod's identity is used: the storage is Google's, and there are no other credentials."""
    is_google = (urlsplit(sources.gcs_endpoint or _ENDPOINT).hostname or "").endswith(".googleapis.com")
    return is_google and not (key_file(sources, secrets) or sources.gcs_credentials)


def key_file(sources: SourceSettings, secrets: SecretsByName) -> str:
    """Return the key file of the first Secret, by name, that has one. Raises `DownloadError` for an invalid one."""
    name, text = next(
        ((name, secret[sources.gcs_key_name]) for name, secret in secrets.items() if secret.get(sources.gcs_key_name)),
        ("", ""),
    )
    if text and not _is_service_account(text):
        sentence = f"the key {sources.gcs_key_name} of the secret {name} is not the key file of a service account"
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return text


def _is_service_account(text: str) -> bool:
    try:
        key = json.loads(text)
    except ValueError:
        return False
    return isinstance(key, dict) and {"client_email", "private_key"} <= key.keys()


class MetadataServer:
    """The metadata server at `GCE_METADATA_HOST`, or at Google's address."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        host = environ.get("GCE_METADATA_HOST") or _METADATA_HOST
        self._url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/email"
        self._clock = clock
        self._last_poll: tuple[float, bool] | None = None
        self._lock = asyncio.Lock()

    async def is_available(self) -> bool:
        """Return whether it names an account within `_METADATA_TIMEOUT`. Only a failure is polled again."""
        async with self._lock:
            last = self._last_poll
            if last is None or (not last[1] and self._clock() - last[0] > _METADATA_POLL_INTERVAL):
                last = self._last_poll = (self._clock(), await self._poll())
            return last[1]

    async def _poll(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=_METADATA_TIMEOUT)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=_METADATA_HEADERS) as session,
                session.get(self._url, allow_redirects=False) as response,
            ):
                # Other clouds have a server at this address, too.
                return response.status == 200 and response.headers.get("Metadata-Flavor") == "Google"
        except (aiohttp.ClientError, TimeoutError):
            return False
