"""Location of a model in an object store, parsed from its URI, and the options of its bucket.

gs://BUCKET/PATH    s3://BUCKET/PATH    az://CONTAINER/PATH (the account comes from the credentials)
https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH    abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH

Equal options share one store and its connections.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.redaction import one_line

GCS, S3, AZURE = "gs", "s3", "az"
_BLOB_HOST = re.compile(r"(?P<account>[a-z0-9]+)\.(blob|dfs)\.core\.windows\.net")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]*")  # it becomes part of a host name
_BOOLS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """A prefix in a bucket of one of the three kinds of store. Azure's buckets are its containers."""

    kind: str
    bucket: str
    prefix: str
    """The path, without slashes around it."""
    account: str = ""
    """The account at Azure, if the URI names it."""

    @property
    def root(self) -> str:
        """The URI of the bucket, for logs and errors."""
        return f"{self.kind}://{self.account and self.account + '/'}{self.bucket}"


def is_azure(uri: str) -> bool:
    """Return whether a URI is an https URL of Azure's blob storage."""
    parts = urlsplit(uri)
    return parts.scheme == "https" and bool(_BLOB_HOST.fullmatch(parts.netloc.lower()))


def parse_location(uri: str) -> ObjectLocation:
    """Parse a URI. Raises `DownloadError`."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _refused(uri, "is no URL") from None
    if parts.query or parts.fragment:
        raise _refused(uri, "has a query or a fragment, which no name of an object has")
    location = _parse_https(parts) if parts.scheme == "https" else _parse_other(parts)
    if not _BUCKET.fullmatch(location.bucket) or not location.prefix:
        raise _refused(uri, "does not name a bucket and a path in it")
    if parts.scheme in {"https", "abfss"} and not location.account:
        raise _refused(uri, "does not name an account of Azure's blob storage")
    return location


def _parse_other(parts: SplitResult) -> ObjectLocation:
    prefix = parts.path.strip("/")
    if parts.scheme == "abfss":
        return ObjectLocation(AZURE, parts.username or "", prefix, _account(parts))
    return ObjectLocation(parts.scheme, parts.netloc, prefix)


def _parse_https(parts: SplitResult) -> ObjectLocation:
    container, _, prefix = unquote(parts.path).strip("/").partition("/")
    return ObjectLocation(AZURE, container, prefix.strip("/"), _account(parts))


def _account(parts: SplitResult) -> str:
    match = _BLOB_HOST.fullmatch(parts.netloc.rpartition("@")[2].lower())
    return match["account"] if match else ""


def _refused(uri: str, problem: str) -> DownloadError:
    return DownloadError(f"{one_line(uri)} {problem}", reason="bad_uri", permanent=True)


@dataclass(frozen=True)
class StoreOptions:
    """The options of one bucket. The repr has no field that may be secret."""

    kind: str
    bucket: str
    config: tuple[tuple[str, str | bool], ...] = field(repr=False)
    """The configuration for obstore."""
    endpoint: str = ""
    """A custom endpoint; empty is the cloud's."""
    has_user_endpoint: bool = False
    """The endpoint comes from a secret or an annotation, so its addresses are checked."""
    verify_tls: bool = True
    certificates: str = ""
    """Trusted certificates besides the system's, as PEM."""
    anonymous_because: str = field(default="", compare=False)
    """Without credentials that the user may have meant to give: the clause that names the missing keys."""

    @classmethod
    def of(cls, kind: str, bucket: str, config: Mapping[str, str | bool | None], **rest: object) -> Self:
        """Return options. Values that are None or empty are left out of the config."""
        present = {key: value for key, value in config.items() if value not in (None, "")}
        return cls(kind, bucket, tuple(sorted(present.items())), **rest)  # type: ignore[arg-type]


def parse_bool(values: Mapping[str, str], key: str, default: bool | None) -> bool | None:  # noqa: FBT001 (a value)
    """Return a boolean in a Secret. Raises `DownloadError` for any other value."""
    text = values.get(key, "")
    if text and text.lower() not in _BOOLS:
        sentence = f"the key {key} of a secret must be one of {', '.join(_BOOLS)}"
        raise DownloadError(sentence, reason="credentials", permanent=True)
    return _BOOLS[text.lower()] if text else default


def validated(text: str, pattern: str, name: str) -> str:
    """Return a value in a Secret that becomes part of a URL. Raises `DownloadError` when it does not match."""
    if text and not re.fullmatch(pattern, text, re.ASCII):
        raise DownloadError(f"{name} that a secret names is not one", reason="credentials", permanent=True)
    return text


def first_value(values: Mapping[str, str], keys: Sequence[str]) -> str:
    """Return the first value that is not empty; empty when there is none."""
    return next((values[key] for key in keys if values.get(key)), "")
