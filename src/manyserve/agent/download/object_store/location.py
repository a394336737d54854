"""Where in an object store a model lies: bucket and prefix, read from the URIs that users write.

gs://BUCKET/PATH    s3://BUCKET/PATH    az://CONTAINER/PATH (the account is said by the credentials)
https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH    abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line

GCS, S3, AZURE = "gs", "s3", "az"
_BLOBS = re.compile(r"(?P<account>[a-z0-9]+)\.(blob|dfs)\.core\.windows\.net")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]*")  # it becomes part of a host's name


@dataclass(frozen=True, slots=True)
class ObjectLocation:
    """A prefix in a bucket of one of the three kinds of store; Azure calls buckets containers."""

    kind: str
    bucket: str
    prefix: str
    """Without slashes around it."""
    account: str = ""
    """Azure's, where the URI names it."""

    @property
    def root(self) -> str:
        """The bucket alone, for logs."""
        return f"{self.kind}://{self.account and self.account + '/'}{self.bucket}"


def is_azure(uri: str) -> bool:
    """Tell whether an https URI is one of Azure's blob storage."""
    parts = urlsplit(uri)
    return parts.scheme == "https" and bool(_BLOBS.fullmatch(parts.netloc.lower()))


def parse_location(uri: str) -> ObjectLocation:
    """Return what the URI names. Raises `DownloadError`."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise _refused(uri, "is no URL") from None
    if parts.query or parts.fragment:
        raise _refused(uri, "has a query or a fragment, and no object's name is written so")
    found = _https(parts) if parts.scheme == "https" else _by_scheme(parts)
    if not _BUCKET.fullmatch(found.bucket) or not found.prefix:
        raise _refused(uri, "does not name a bucket and a path in it")
    if parts.scheme in {"https", "abfss"} and not found.account:
        raise _refused(uri, "does not name an account of Azure's blob storage")
    return found


def _by_scheme(parts: SplitResult) -> ObjectLocation:
    prefix = parts.path.strip("/")
    if parts.scheme == "abfss":
        return ObjectLocation(AZURE, parts.username or "", prefix, _account(parts))
    return ObjectLocation(parts.scheme, parts.netloc, prefix)


def _https(parts: SplitResult) -> ObjectLocation:
    container, _, prefix = unquote(parts.path).strip("/").partition("/")
    return ObjectLocation(AZURE, container, prefix.strip("/"), _account(parts))


def _account(parts: SplitResult) -> str:
    found = _BLOBS.fullmatch(parts.netloc.rpartition("@")[2].lower())
    return found["account"] if found else ""


def _refused(uri: str, why: str) -> DownloadError:
    return DownloadError(f"{one_line(uri)} {why}", reason="bad_uri", permanent=True)
