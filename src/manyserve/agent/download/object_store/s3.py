"""S3 and compatible stores: options from the agent's settings, the Secrets and the environment.

One Secret is used: the first, by name, with both keys, or else the first with any key of S3. The agent's settings
provide the rest. Without keys, the pod's identity in the environment is used: a role's web token, or the credentials
server of the node's agent. Without an identity, requests are anonymous.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from manyserve.agent.download.credentials import Secret, SecretsByName, without_keys
from manyserve.agent.download.object_store.location import (
    S3,
    ObjectLocation,
    StoreOptions,
    first_value,
    parse_bool,
    validated,
)
from manyserve.agent.settings import SourceSettings
from manyserve.api.storageuri import PLACE

CA_BUNDLE = "AWS_CA_BUNDLE"
_KEY_NAMES = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("awsAccessKeyID", "awsSecretAccessKey"))
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = r"[-A-Za-z0-9]{1,63}"
_URL = rf"https?://{PLACE}(/[-\w.~]+)*"  # without characters that other parsers read as another host
_ANONYMOUS = "awsAnonymousCredential"
_S3_KEYS = {"S3_ENDPOINT", "S3_VERIFY_SSL", "S3_USE_VIRTUAL_BUCKET", CA_BUNDLE, _ANONYMOUS, *_ENDPOINTS, *_REGIONS}
_IDENTITIES = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
)


def s3_options(
    location: ObjectLocation,
    sources: SourceSettings,
    secrets: SecretsByName,
    environ: Mapping[str, str],
    certificates: str = "",
) -> StoreOptions:
    """Return the options of a bucket. `certificates` are the Secret's, or else those of the settings."""
    secret = s3_secret(sources, secrets)
    endpoint, has_user_endpoint = _endpoint(secret, sources, environ)
    is_virtual = _is_virtual_host(secret, sources, endpoint, location.bucket)
    endpoint = _bucket_endpoint(endpoint, location.bucket) if is_virtual else endpoint
    region = validated(first_value(secret, _REGIONS), _REGION, "the region of S3")
    config: dict[str, str | bool | None] = {
        **_credentials(secret, sources, environ),
        "region": region or sources.s3_region or "us-east-1",
        "virtual_hosted_style_request": is_virtual,
        "aws_endpoint_url_s3": endpoint,
    }
    return StoreOptions.of(
        S3,
        location.bucket,
        config,
        endpoint=endpoint,
        has_user_endpoint=has_user_endpoint,
        verify_tls=parse_bool(secret, "S3_VERIFY_SSL", sources.s3_verify_tls) is not False,
        certificates=certificates,
        anonymous_because=_anonymous_because(secret, sources, secrets, config),
    )


def s3_secret(sources: SourceSettings, secrets: SecretsByName) -> Secret:
    """Return the Secret that is used; an empty one when none has a key of S3."""
    with_keys = (secret for secret in secrets.values() if _keys(secret, sources))
    with_settings = (secret for secret in secrets.values() if _S3_KEYS & secret.keys())
    return next(with_keys, None) or next(with_settings, {})


def _credentials(secret: Secret, sources: SourceSettings, environ: Mapping[str, str]) -> dict[str, str | bool | None]:
    """Return the keys, or nothing when obstore reads the environment, or the option for anonymous requests."""
    if parse_bool(secret, _ANONYMOUS, sources.s3_anonymous):
        return {"skip_signature": True}
    if keys := _keys(secret, sources):
        return {
            "access_key_id": keys[0],
            "secret_access_key": keys[1],
            "session_token": secret.get("AWS_SESSION_TOKEN"),
        }
    has_identity = any(all(environ.get(name) for name in names) for names in _IDENTITIES)
    return {} if has_identity else {"skip_signature": True}


def _anonymous_because(
    secret: Secret, sources: SourceSettings, secrets: SecretsByName, config: Mapping[str, str | bool | None]
) -> str:
    """Return the clause for requests that are anonymous without a setting that says so; else an empty text."""
    if "skip_signature" not in config or parse_bool(secret, _ANONYMOUS, sources.s3_anonymous):
        return ""
    return without_keys(secrets, f"{sources.s3_access_key_name} and {sources.s3_secret_key_name}")


def _keys(secret: Secret, sources: SourceSettings) -> tuple[str, str] | None:
    names = ((sources.s3_access_key_name, sources.s3_secret_key_name), *_KEY_NAMES)
    pairs = ((secret.get(key_id, ""), secret.get(key, "")) for key_id, key in names)
    return next((pair for pair in pairs if all(pair)), None)


def _endpoint(secret: Secret, sources: SourceSettings, environ: Mapping[str, str]) -> tuple[str, bool]:
    """Return the endpoint, empty for Amazon's, and whether it comes from a Secret or an annotation."""
    if endpoint := _secret_endpoint(secret):
        return endpoint, True
    endpoint = sources.s3_endpoint or first_value(environ, _ENDPOINTS)
    return endpoint, sources.s3_check_endpoint and endpoint == sources.s3_endpoint


def _is_virtual_host(secret: Secret, sources: SourceSettings, endpoint: str, bucket: str) -> bool:
    """Return whether the bucket is part of the host name. By default only Amazon's buckets without a dot are."""
    is_virtual = parse_bool(secret, "S3_USE_VIRTUAL_BUCKET", sources.s3_virtual_host)
    if is_virtual is not None:
        return is_virtual
    return _is_amazon(endpoint) and "." not in bucket  # a dot does not match Amazon's certificate


def _secret_endpoint(secret: Secret) -> str:
    """Return the URL in a Secret. KServe's S3_ENDPOINT is a host name, and S3_USE_HTTPS has the scheme."""
    endpoint = (first_value(secret, _ENDPOINTS) or secret.get("S3_ENDPOINT", "")).rstrip("/")
    scheme = "http" if parse_bool(secret, "S3_USE_HTTPS", default=True) is False else "https"
    url = endpoint if not endpoint or "://" in endpoint else f"{scheme}://{endpoint}"
    return validated(url, _URL, "the endpoint of S3")


def _bucket_endpoint(endpoint: str, bucket: str) -> str:
    scheme, mark, rest = endpoint.partition("://")
    return f"{scheme}{mark}{bucket}.{rest}" if endpoint else ""


def _is_amazon(endpoint: str) -> bool:
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
