"""S3 and what speaks like it: what the agent's settings, the secrets and the environment say, as options.

A secret is taken whole: the first, by name, that has both keys; else the first that says anything of S3. What
it does not say, the agent's settings do; without keys, the identity of the pod that the environment speaks
of (a role's web token, or the credentials' server of the node's agent); without that, nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from manyserve.agent.download.credentials import Folders, Secret
from manyserve.agent.download.object_store.location import S3, ObjectLocation
from manyserve.agent.download.object_store.options import StoreOptions, first, formed, truth
from manyserve.agent.storage_settings import SourceSettings
from manyserve.api.storageuri import PLACE

CA_BUNDLE = "AWS_CA_BUNDLE"
_KEY_NAMES = (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("awsAccessKeyID", "awsSecretAccessKey"))
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_REGION = r"[-A-Za-z0-9]{1,63}"
_URL = rf"https?://{PLACE}(/[-\w.~]+)*"  # what others may read as another host than we do is no part of it
_ANONYMOUS = "awsAnonymousCredential"
_SAYS_S3 = {"S3_ENDPOINT", "S3_VERIFY_SSL", "S3_USE_VIRTUAL_BUCKET", CA_BUNDLE, _ANONYMOUS, *_ENDPOINTS, *_REGIONS}
_IDENTITIES = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
)


def s3_options(
    place: ObjectLocation, sources: SourceSettings, secrets: Folders, environ: Mapping[str, str], certificates: str = ""
) -> StoreOptions:
    """Return how a bucket is opened. `certificates` are those of the settings or, if it has some, the secret's."""
    secret = s3_secret(sources, secrets)
    named = _endpoint(secret)
    endpoint = named or sources.s3_endpoint or first(environ, _ENDPOINTS)
    virtual = truth(secret, "S3_USE_VIRTUAL_BUCKET", sources.s3_virtual_host)
    if virtual is None:
        virtual = _is_amazons(endpoint) and "." not in place.bucket  # a dot does not fit their certificate
    foreign = bool(named) or (sources.s3_check_endpoint and endpoint == sources.s3_endpoint)
    endpoint = _for_bucket(endpoint, place.bucket) if virtual else endpoint
    config: dict[str, str | bool | None] = {
        **_proof(secret, sources, environ),
        "region": formed(first(secret, _REGIONS), _REGION, "the region of S3") or sources.s3_region or "us-east-1",
        "virtual_hosted_style_request": virtual,
        "aws_endpoint_url_s3": endpoint,
    }
    verify = truth(secret, "S3_VERIFY_SSL", sources.s3_verify_tls) is not False
    return StoreOptions.of(
        S3,
        place.bucket,
        config,
        endpoint=endpoint,
        foreign=foreign,
        verify_tls=verify,
        certificates=certificates,
    )


def s3_secret(sources: SourceSettings, secrets: Folders) -> Secret:
    """Return the secret that counts; an empty one when none says anything."""
    with_keys = (secret for secret in secrets.values() if _keys(secret, sources))
    with_settings = (secret for secret in secrets.values() if _SAYS_S3 & secret.keys())
    return next(with_keys, None) or next(with_settings, {})


def _proof(secret: Secret, sources: SourceSettings, environ: Mapping[str, str]) -> dict[str, str | bool | None]:
    """Return the keys; or nothing, when obstore is to read the environment; or that nothing is signed."""
    if truth(secret, _ANONYMOUS, sources.s3_anonymous):
        return {"skip_signature": True}
    if keys := _keys(secret, sources):
        return {
            "access_key_id": keys[0],
            "secret_access_key": keys[1],
            "session_token": secret.get("AWS_SESSION_TOKEN"),
        }
    spoken_of = any(all(environ.get(name) for name in names) for names in _IDENTITIES)
    return {} if spoken_of else {"skip_signature": True}


def _keys(secret: Secret, sources: SourceSettings) -> tuple[str, str] | None:
    names = ((sources.s3_access_key_name, sources.s3_secret_key_name), *_KEY_NAMES)
    pairs = ((secret.get(key, ""), secret.get(private, "")) for key, private in names)
    return next((pair for pair in pairs if all(pair)), None)


def _endpoint(secret: Secret) -> str:
    """Return the URL that a secret names; KServe's S3_ENDPOINT is a host, and S3_USE_HTTPS tells the scheme."""
    named = (first(secret, _ENDPOINTS) or secret.get("S3_ENDPOINT", "")).rstrip("/")
    scheme = "http" if truth(secret, "S3_USE_HTTPS", otherwise=True) is False else "https"
    return formed(named if not named or "://" in named else f"{scheme}://{named}", _URL, "the endpoint of S3")


def _for_bucket(endpoint: str, bucket: str) -> str:
    scheme, mark, rest = endpoint.partition("://")
    return f"{scheme}{mark}{bucket}.{rest}" if endpoint else ""


def _is_amazons(endpoint: str) -> bool:
    return not endpoint or (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
