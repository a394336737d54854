"""Environment of the agent for the stores: from `inferenceservice-config`, and from KServe's annotations.

Annotations `serving.kserve.io/s3-*` override the configuration. They are on the host's ServiceAccount, or on its
secrets if the operator may read those. With another API group, the annotations of that group override them. An
unreadable annotation is left out and reported, since an agent would not start with it. An endpoint from an annotation
is not trusted as the configuration is: agents check its address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

from manyserve.api import agentenv
from manyserve.api.credentialsconfig import Credentials, read_config_map, read_endpoint, read_switch
from manyserve.plan.observed import S3_PREFIXES, Account

Value = TypeVar("Value")

S3_CA_DIR = "/mnt/s3-ca"
_ANNOTATIONS = (
    "endpoint",
    "usehttps",
    "region",
    "verifyssl",
    "usevirtualbucket",
    "useanoncredential",
    "cabundle",
    "cabundle-configmap",
)
_SUPPORTED = frozenset(f"{prefix}{name}" for prefix in S3_PREFIXES for name in _ANNOTATIONS)
_LONGEST_PATH = 1024
_CA_KEY = "cabundle.crt"
"""Key of KServe's ConfigMaps."""


class S3Settings(NamedTuple):
    """Settings from annotations: environment, a ConfigMap with certificates, sentences about unreadable annotations."""

    env: dict[str, str]
    config_map: str | None = None
    problems: tuple[str, ...] = ()


def configured(credentials: Credentials) -> dict[str, str]:
    """Return the environment from the configuration; the agent's defaults apply to unset values."""
    gcs, s3, https = credentials.gcs, credentials.s3, credentials.https
    networks = ",".join(map(str, https.allowed_networks))
    variables = {
        agentenv.GCS_ENDPOINT: gcs.endpoint,
        agentenv.GCS_KEY_NAME: gcs.gcs_credential_file_name,
        agentenv.S3_ENDPOINT: _endpoint(s3.s3_endpoint, secure=s3.s3_use_https),
        agentenv.S3_REGION: s3.s3_region,
        agentenv.S3_VERIFY_TLS: _word(s3.s3_verify_ssl),
        agentenv.S3_VIRTUAL_HOST: _word(s3.s3_use_virtual_bucket),
        agentenv.S3_ANONYMOUS: _word(s3.s3_use_anonymous_credential),
        agentenv.S3_CA_FILE: _ca_file(s3.s3_ca_bundle_config_map, s3.s3_ca_bundle),
        agentenv.S3_ACCESS_KEY_NAME: s3.s3_access_key_id_name,
        agentenv.S3_SECRET_KEY_NAME: s3.s3_secret_access_key_name,
        agentenv.AZURE_ENDPOINT: credentials.azure.endpoint,
        agentenv.HF_ENDPOINT: credentials.hf.endpoint,
        agentenv.ALLOW_HTTP: _word(https.allow_http or None),
        agentenv.ALLOWED_NETWORKS: networks or None,
        agentenv.CA_FILE: https.ca_bundle,
    }
    return {name: value for name, value in variables.items() if value is not None}


def annotated(account: Account | None) -> S3Settings:
    """Return the settings in the annotations of a ServiceAccount and its secrets."""
    annotations = dict(account.annotations) if account else {}
    problems: list[str] = []
    endpoint = _read(annotations, "endpoint", read_endpoint, problems)
    secure = _read(annotations, "usehttps", read_switch, problems)
    config_map = _read(annotations, "cabundle-configmap", read_config_map, problems)
    ca_file = _read(annotations, "cabundle", _absolute, problems)
    variables = {
        agentenv.S3_ENDPOINT: _endpoint(endpoint, secure=secure is not False),
        agentenv.S3_CHECK_ENDPOINT: _word(True if endpoint else None),
        agentenv.S3_REGION: _read(annotations, "region", _region, problems),
        agentenv.S3_VERIFY_TLS: _word(_read(annotations, "verifyssl", read_switch, problems)),
        agentenv.S3_VIRTUAL_HOST: _word(_read(annotations, "usevirtualbucket", read_switch, problems)),
        agentenv.S3_ANONYMOUS: _word(_read(annotations, "useanoncredential", read_switch, problems)),
        agentenv.S3_CA_FILE: _ca_file(config_map, ca_file),
    }
    env = {name: value for name, value in variables.items() if value is not None}
    unknown = sorted(key for key in annotations if key not in _SUPPORTED)
    problems += [f"the annotation {key} is not supported" for key in unknown]
    return S3Settings(env, config_map, tuple(problems))


def _read(
    annotations: Mapping[str, str], name: str, parse: Callable[[str], Value], problems: list[str]
) -> Value | None:
    key = next((key for prefix in S3_PREFIXES if annotations.get(key := f"{prefix}{name}")), None)
    if key is None:
        return None
    try:
        return parse(annotations[key])
    except ValueError as error:
        problems.append(f"the annotation {key} {error}")
        return None


def _region(text: str) -> str:
    if not re.fullmatch(r"[-A-Za-z0-9]{1,63}", text):
        raise ValueError("must be letters, digits and '-'")
    return text


def _absolute(text: str) -> str:
    if not text.startswith("/") or not text.isprintable() or len(text) > _LONGEST_PATH:
        raise ValueError("must be an absolute path in the agent's container")
    return text


def _ca_file(config_map: str | None, file: str | None) -> str | None:
    return f"{S3_CA_DIR}/{_CA_KEY}" if config_map else file


def _endpoint(address: str | None, *, secure: bool) -> str | None:
    return address and f"{'https' if secure else 'http'}://{address}"


def _word(switch: bool | None) -> str | None:  # noqa: FBT001  it is the value itself
    return None if switch is None else str(switch).lower()
