"""Key `credentials` of `inferenceservice-config`: endpoints of object stores and the authentication of agents.

The keys of KFServing 0.6 keep their names, beside further ones. None of them is a secret: those are in the secrets of a
host's ServiceAccount. A switch is "0" or "1", as in 0.6, or true or false. An empty text is unset, as in the ConfigMap
that KServe ships.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from manyserve.api.address_policy import Network
from manyserve.api.kube_model import KubeModel
from manyserve.api.storageuri import PLACE

_WORDS = {"1": True, "true": True, "0": False, "false": False}
_LONGEST_ENDPOINT = 260
URL_SENTENCE = "must be an http or https URL without a user name, a query or a fragment"
ENDPOINT_SENTENCE = "must be host or host:port; whether it is https stands beside it"
NETWORK_SENTENCE = "must be a network in CIDR form, such as 10.0.0.0/8 or fd00::/8"
SWITCH_SENTENCE = "must be true or false"


def read_switch(value: object) -> bool:
    """Parse a switch: true, false, 1 or 0, quoted or not. Raises `ValueError` with a sentence."""
    if str(value).lower() not in _WORDS:
        raise ValueError(SWITCH_SENTENCE)
    return _WORDS[str(value).lower()]


def read_url(text: str) -> str:
    """Check an http or https URL, which must hold no secret. Raises `ValueError` with a sentence."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(URL_SENTENCE) from None
    bare = not (parts.username or parts.password or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not bare or not text.isprintable():
        raise ValueError(URL_SENTENCE)
    return text


def read_endpoint(text: str) -> str:
    """Check the endpoint of an S3 store, without a scheme. Raises `ValueError` with a sentence."""
    if len(text) > _LONGEST_ENDPOINT or not re.fullmatch(PLACE, text, re.ASCII):
        raise ValueError(ENDPOINT_SENTENCE)
    try:
        urlsplit(f"//{text}")
    except ValueError:  # brackets without an address inside
        raise ValueError(ENDPOINT_SENTENCE) from None
    return text


def read_config_map(text: str) -> str:
    """Check the name of a ConfigMap. Raises `ValueError` with a sentence."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", text):
        raise ValueError("must be the name of a ConfigMap")
    return text


def read_network(text: object) -> Network:
    """Parse a network in CIDR form. Raises `ValueError` with a sentence."""
    try:
        return ip_network(str(text))
    except ValueError:
        raise ValueError(NETWORK_SENTENCE) from None


Switch = Annotated[bool, BeforeValidator(read_switch)]
Url = Annotated[str, AfterValidator(read_url)]
ConfigMapName = Annotated[str, AfterValidator(read_config_map)]
KeyName = Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]


class StoreCredentials(KubeModel):
    """Configuration of one kind of store."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {key: each for key, each in given.items() if each != ""} if isinstance(given, dict) else given


class GcsCredentials(StoreCredentials):
    """Google Cloud Storage."""

    gcs_credential_file_name: Annotated[KeyName | None, Field(description="Key of a secret with such a file.")] = None
    endpoint: Url | None = None


class S3Credentials(StoreCredentials):
    """S3, of AWS or another provider."""

    s3_access_key_id_name: Annotated[KeyName | None, Field(alias="s3AccessKeyIDName")] = None
    s3_secret_access_key_name: KeyName | None = None
    s3_endpoint: Annotated[str, AfterValidator(read_endpoint)] | None = None
    s3_use_https: Switch = True
    s3_region: Annotated[str | None, Field(pattern=r"^[-a-z0-9]+$", max_length=63)] = None
    s3_verify_ssl: Annotated[Switch | None, Field(alias="s3VerifySSL")] = None
    s3_use_virtual_bucket: Switch | None = None
    s3_use_anonymous_credential: Switch | None = None
    s3_ca_bundle: Annotated[str | None, Field(alias="s3CABundle", pattern="^/", description="A file.")] = None
    s3_ca_bundle_config_map: Annotated[
        ConfigMapName | None, Field(alias="s3CABundleConfigMap", description="In the hosts' namespaces.")
    ] = None


class AzureCredentials(StoreCredentials):
    """Azure Blob Storage."""

    endpoint: Url | None = None


class HfCredentials(StoreCredentials):
    """Hugging Face."""

    endpoint: Url | None = None


class HttpsCredentials(StoreCredentials):
    """https:// and http://."""

    allow_http: Switch = False
    allowed_networks: Annotated[
        tuple[Annotated[Network, BeforeValidator(read_network)], ...],
        Field(max_length=64, description="Networks that are not public and may be read from."),
    ] = ()
    ca_bundle: Annotated[str | None, Field(pattern="^/", description="A file with further certificates.")] = None


class Credentials(KubeModel):
    """Configuration of all stores."""

    gcs: GcsCredentials = GcsCredentials()
    s3: S3Credentials = S3Credentials()
    azure: AzureCredentials = AzureCredentials()
    hf: HfCredentials = HfCredentials()
    https: HttpsCredentials = HttpsCredentials()
    read_secret_annotations: Annotated[
        Switch, Field(description="S3 settings are read from annotations of secrets, too. The operator has the right.")
    ] = False
