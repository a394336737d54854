"""Parsing of the URIs of object stores into bucket and prefix.

gs://BUCKET/PATH    s3://BUCKET/PATH    az://CONTAINER/PATH (the account comes from the credentials)
https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH    abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line

GCS, S3, AZURE = "gs", "s3", "az"
_BLOB_HOST = re.compile(r"(?P<account>[a-z0-9]+)\.(blob|dfs)\.core\.windows\.net")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]*")  # it becomes part of a host name


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
