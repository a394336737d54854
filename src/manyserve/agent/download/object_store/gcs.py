"""Google Cloud Storage: what the agent's settings, the secrets and the cloud say, as options.

A secret's key file goes before the one that the settings name; without either, the identity of the pod that
the metadata server gives out; without that server, nobody.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import Folders
from manyserve.agent.download.object_store.location import GCS, ObjectLocation
from manyserve.agent.download.object_store.options import StoreOptions
from manyserve.agent.storage_settings import SourceSettings

_ENDPOINT = "https://storage.googleapis.com"


def gcs_options(
    place: ObjectLocation, sources: SourceSettings, secrets: Folders, certificates: str = "", *, identity: bool = False
) -> StoreOptions:
    """Return how a bucket is opened; `identity` tells that a metadata server gives out the pod's."""
    config: dict[str, str | bool | None] = {"base_url": sources.gcs_endpoint or _ENDPOINT}  # never a key file's
    if key := key_file(sources, secrets):
        config["service_account_key"] = key
    elif sources.gcs_credentials:
        config["application_credentials"] = sources.gcs_credentials
    elif not identity:
        config["skip_signature"] = True
    return StoreOptions.of(GCS, place.bucket, config, endpoint=sources.gcs_endpoint or "", certificates=certificates)


def wants_identity(sources: SourceSettings, secrets: Folders) -> bool:
    """Tell whether the metadata server is to be asked: nothing else proves anything, and it is Google's storage."""
    google = (urlsplit(sources.gcs_endpoint or _ENDPOINT).hostname or "").endswith(".googleapis.com")
    return google and not (key_file(sources, secrets) or sources.gcs_credentials)


def key_file(sources: SourceSettings, secrets: Folders) -> str:
    """Return the key file of the first secret, by name, that has one. Raises `DownloadError` if it is none."""
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
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, dict) and {"client_email", "private_key"} <= found.keys()
