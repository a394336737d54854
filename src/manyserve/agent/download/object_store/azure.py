"""Azure's blob storage: what the agent's settings, the secrets and the environment say, as options.

Of the secrets that have a proof, the first by name counts that names the URI's account or none. The names of
the keys are KServe's, the later ones too. Without a secret, the federated token of the pod's identity, when
the environment speaks of one; without that, nobody: then single blobs can be read, but containers not listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import Folders, Secret
from manyserve.agent.download.object_store.location import AZURE, ObjectLocation
from manyserve.agent.download.object_store.options import StoreOptions, first, formed
from manyserve.agent.storage_settings import SourceSettings

_ACCOUNT = "[a-z0-9]{3,24}"
_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
_KEYS = ("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
_SAS = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_PRINCIPAL = {
    "client_id": ("AZ_CLIENT_ID", "AZURE_CLIENT_ID"),
    "client_secret": ("AZ_CLIENT_SECRET", "AZURE_CLIENT_SECRET"),
    "tenant_id": ("AZ_TENANT_ID", "AZURE_TENANT_ID"),
}
_FEDERATED = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")

Config = dict[str, str | bool | None]


def azure_options(
    place: ObjectLocation, sources: SourceSettings, secrets: Folders, environ: Mapping[str, str], certificates: str = ""
) -> StoreOptions:
    """Return how a container is opened. Raises `DownloadError` when nothing names its account."""
    secret = _secret(place, secrets)
    account = place.account or formed(first(secret, _ACCOUNTS), _ACCOUNT, "the account") or first(environ, _ACCOUNTS)
    if not account:
        sentence = (
            f"az://{place.bucket} is in no account: neither the URI nor a secret's AZURE_STORAGE_ACCOUNT names one"
        )
        raise DownloadError(sentence, reason="credentials", permanent=True)
    proof = _proof(secret) or _identity(environ) or {"skip_signature": True}
    endpoint = sources.azure_endpoint or ""
    config: Config = {"account_name": account, "endpoint": endpoint, **proof}
    return StoreOptions.of(AZURE, place.bucket, config, endpoint=endpoint, certificates=certificates)


def _secret(place: ObjectLocation, secrets: Folders) -> Secret:
    for secret in secrets.values():
        named = first(secret, _ACCOUNTS)
        if (_proof(secret) or named) and place.account in ("", named or place.account):
            return secret
    return {}


def _proof(secret: Secret) -> Config:
    """Return what a secret proves, and that obstore is to use this and nothing else; empty when it has nothing."""
    if key := first(secret, _KEYS):
        return {"account_key": key, "credential_type": "access_key"}
    principal: Config = {word: first(secret, names) for word, names in _PRINCIPAL.items()}
    if all(principal.values()):
        return principal | {"credential_type": "client_secret"}
    if token := first(secret, _SAS):
        return {"sas_key": token.removeprefix("?"), "credential_type": "sas_token"}
    return {}


def _identity(environ: Mapping[str, str]) -> Config:
    """Return that the pod's own identity is used, when the environment speaks of one."""
    if not all(environ.get(name) for name in _FEDERATED):
        return {}
    token, client, tenant = (environ[name] for name in _FEDERATED)
    return {
        "credential_type": "workload_identity",
        "federated_token_file": token,
        "client_id": client,
        "tenant_id": tenant,
        "authority_host": environ.get("AZURE_AUTHORITY_HOST"),
    }
