"""The key `credentials` of `inferenceservice-config`: where object stores are and how agents prove themselves.

The keys of KFServing 0.6 stand here under their own names, ours beside them. No secret is ever among them:
those lie in the secrets of a host's ServiceAccount. 0.6 wrote its switches as "0" and "1"; true and false do
as well. An empty text means "not set", as in the ConfigMap that KServe ships.
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
    """Return a switch: true, false, 1 or 0, as a word or not. Raises `ValueError` with a sentence."""
    if str(value).lower() not in _WORDS:
        raise ValueError(SWITCH_SENTENCE)
    return _WORDS[str(value).lower()]


def read_url(text: str) -> str:
    """Return an http or https URL that holds no secret. Raises `ValueError` with a sentence."""
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
    """Return the place of an S3 store, without its scheme. Raises `ValueError` with a sentence."""
    if len(text) > _LONGEST_ENDPOINT or not re.fullmatch(PLACE, text, re.ASCII):
        raise ValueError(ENDPOINT_SENTENCE)
    try:
        urlsplit(f"//{text}")
    except ValueError:  # brackets around what is no address
        raise ValueError(ENDPOINT_SENTENCE) from None
    return text


def read_config_map(text: str) -> str:
    """Return the name of a ConfigMap. Raises `ValueError` with a sentence."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", text):
        raise ValueError("must be the name of a ConfigMap")
    return text


def read_network(text: object) -> Network:
    """Return a network. Raises `ValueError` with a sentence."""
    try:
        return ip_network(str(text))
    except ValueError:
        raise ValueError(NETWORK_SENTENCE) from None


Switch = Annotated[bool, BeforeValidator(read_switch)]
Url = Annotated[str, AfterValidator(read_url)]
ConfigMapName = Annotated[str, AfterValidator(read_config_map)]
KeyName = Annotated[str, Field(pattern=r"^[-._A-Za-z0-9]+$", max_length=253)]


class Store(KubeModel):
    """What is configured for one kind of store."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        return {key: each for key, each in given.items() if each != ""} if isinstance(given, dict) else given


class GcsCredentials(Store):
    """Google Cloud Storage."""

    gcs_credential_file_name: Annotated[KeyName | None, Field(description="Key of a secret with such a file.")] = None
    endpoint: Url | None = None


class S3Credentials(Store):
    """S3, at AWS or anywhere else."""

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


class AzureCredentials(Store):
    """Azure Blob Storage."""

    endpoint: Url | None = None


class HfCredentials(Store):
    """Hugging Face."""

    endpoint: Url | None = None


class HttpsCredentials(Store):
    """https:// and http://."""

    allow_http: Switch = False
    allowed_networks: Annotated[
        tuple[Annotated[Network, BeforeValidator(read_network)], ...],
        Field(max_length=64, description="Not public, and read from all the same."),
    ] = ()
    ca_bundle: Annotated[str | None, Field(pattern="^/", description="A file with further certificates.")] = None


class Credentials(KubeModel):
    """All stores."""

    gcs: GcsCredentials = GcsCredentials()
    s3: S3Credentials = S3Credentials()
    azure: AzureCredentials = AzureCredentials()
    hf: HfCredentials = HfCredentials()
    https: HttpsCredentials = HttpsCredentials()
    read_secret_annotations: Annotated[
        Switch, Field(description="Settings of S3 stand in annotations of secrets, too: the operator may read those.")
    ] = False
