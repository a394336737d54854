"""Azure's blob storage: options from the agent's settings, the Secrets and the environment.

The first Secret, by name, with credentials is used if it names the URI's account or none. A SAS is sent as it is, and
any user may write a URI with an account of their own. So a Secret with a SAS must name the account. The names of the
keys are KServe's, old and new. Without a Secret, the pod's federated token is used, when the environment names one.
Without credentials, requests are anonymous: single blobs can be read, but containers cannot be listed.
"""

from __future__ import annotations

from collections.abc import Mapping

from manyserve.agent.download.base import DownloadError
from manyserve.agent.download.credentials import Secret, SecretsByName, without_keys
from manyserve.agent.download.object_store.location import AZURE, ObjectLocation, StoreOptions, first_value, validated
from manyserve.agent.settings import SourceSettings

_ACCOUNT = "[a-z0-9]{3,24}"
_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
_KEYS = ("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY")
_SAS = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")
_PRINCIPAL = {
    "client_id": ("AZ_CLIENT_ID", "AZURE_CLIENT_ID"),
    "client_secret": ("AZ_CLIENT_SECRET", "AZURE_CLIENT_SECRET"),
    "tenant_id": ("AZ_TENANT_ID", "AZURE_TENANT_ID"),
}
_WANTED = (
    f"{_ACCOUNTS[0]} of this account and {_KEYS[0]} or {_SAS[0]}, "
    f"or {', '.join(names[0] for names in _PRINCIPAL.values())}"
)
_FEDERATED = ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID")

Config = dict[str, str | bool | None]


def azure_options(
    location: ObjectLocation,
    sources: SourceSettings,
    secrets: SecretsByName,
    environ: Mapping[str, str],
    certificates: str = "",
) -> StoreOptions:
    """Return the options of a container. Raises `DownloadError` when its account is unknown."""
    secret = _select_secret(location, secrets)
    account = (
        location.account
        or validated(first_value(secret, _ACCOUNTS), _ACCOUNT, "the account")
        or first_value(environ, _ACCOUNTS)
    )
    if not account:
        sentence = (
            f"az://{location.bucket} is in no account: the URI names none, and {without_keys(secrets, _ACCOUNTS[0])}"
        )
        raise DownloadError(sentence, reason="credentials", permanent=True)
    credentials = _credentials(secret) or _identity(environ)
    anonymous_because = "" if credentials else without_keys(secrets, _WANTED)
    credentials = credentials or {"skip_signature": True}
    endpoint = sources.azure_endpoint or ""
    config: Config = {"account_name": account, "endpoint": endpoint, **credentials}
    return StoreOptions.of(
        AZURE,
        location.bucket,
        config,
        endpoint=endpoint,
        certificates=certificates,
        anonymous_because=anonymous_because,
    )


def _select_secret(location: ObjectLocation, secrets: SecretsByName) -> Secret:
    for secret in secrets.values():
        named, credentials = first_value(secret, _ACCOUNTS), _credentials(secret)
        anywhere = "" if "sas_key" in credentials else location.account
        if (credentials or named) and location.account in ("", named or anywhere):
            return secret
    return {}


def _credentials(secret: Secret) -> Config:
    """Return the credentials in a Secret, with their type as the only one for obstore; empty without any."""
    if key := first_value(secret, _KEYS):
        return {"account_key": key, "credential_type": "access_key"}
    principal: Config = {option: first_value(secret, names) for option, names in _PRINCIPAL.items()}
    if all(principal.values()):
        return principal | {"credential_type": "client_secret"}
    if token := first_value(secret, _SAS):
        return {"sas_key": token.removeprefix("?"), "credential_type": "sas_token"}
    return {}


def _identity(environ: Mapping[str, str]) -> Config:
    """Return the options for the pod's own identity; empty when the environment names none."""
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
