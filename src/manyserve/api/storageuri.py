"""Storage URIs: the format of `storageUri` for each scheme, and the message for a URI of another form.

`URI_FORMATS` is the specification. A URI never holds a secret: user names, passwords and queries, such as those of
signed URLs, are refused. Credentials come from the secrets of the host's ServiceAccount.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PORT = r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"  # 1 to 65535
_HOST = r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"
PLACE = _HOST + _PORT
"""The pattern of host[:port]."""
_WORD = r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,95}"

_USER = "^[^/]*//[^/]*@"  # the part before an @; in abfss:// it is the container
PLAIN_SENTENCE = (
    "must be scheme://place/path, without spaces, user names, queries, fragments or '..': a URI is no place for "
    "secrets, the host's ServiceAccount lists those"
)


class UriFormat(NamedTuple):
    """Format of a scheme: the pattern of the whole URI, and the message for a URI that does not match."""

    pattern: str
    sentence: str


def _web(scheme: str) -> UriFormat:
    return UriFormat(
        rf"^{scheme}://{PLACE}/.+$",
        f"must be {scheme}://host[:port]/path, the host in ASCII (xn-- for other letters) without a dot at its end, "
        "the port from 1 to 65535",
    )


URI_FORMATS = {
    "gs": UriFormat(
        r"^gs://[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9]/.*[^/].*$",
        "must be gs://bucket/path, the bucket 3 to 222 small letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends",
    ),
    "s3": UriFormat(
        r"^s3://[A-Za-z0-9][-A-Za-z0-9_.]{1,253}[A-Za-z0-9]/.*[^/].*$",
        "must be s3://bucket/path, the bucket 3 to 255 letters, digits, '-', '_' and '.', "
        "with a letter or digit at both ends",
    ),
    "https": _web("https"),
    "http": _web("http"),
    "az": UriFormat(
        r"^az://[a-z0-9$][-a-z0-9]{1,61}[a-z0-9]/.*[^/].*$",
        "must be az://container/path, the container 3 to 63 small letters, digits and '-'; "
        "the account comes from the credentials",
    ),
    "abfss": UriFormat(
        r"^abfss://[a-z0-9$][-a-z0-9]{1,61}[a-z0-9]@[a-z0-9]{3,24}\.dfs\.core\.windows\.net/.*[^/].*$",
        "must be abfss://container@account.dfs.core.windows.net/path",
    ),
    "pvc": UriFormat(
        r"^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/.*)?$",
        "must be pvc://claim/path, the name of a PersistentVolumeClaim in the model's namespace",
    ),
    "hf": UriFormat(
        rf"^hf://{_WORD}/{_WORD}(/[^/:]+)*(:[A-Za-z0-9_][-A-Za-z0-9_./]{{0,127}})?$",
        "must be hf://organisation/model, with /folder or :revision behind it where you want one",
    ),
}
"""The schemes that agents can download."""

SCHEME_SENTENCE = "must start with one of: " + ", ".join(f"{each}://" for each in URI_FORMATS)

_CLAIM = re.compile(r"pvc://([a-z0-9][-a-z0-9.]*)(/.*)?")


def scheme_of(uri: str) -> str | None:
    """Return the scheme as written, known or not; None when there is none."""
    scheme, separator, _ = uri.partition("://")
    return scheme if separator else None


def is_safe(uri: str) -> bool:
    """Return whether a URI has no part that could be a secret, lead to another path, or break a line."""
    has_user = re.search(_USER, uri) is not None and not uri.startswith("abfss://")
    return uri.isprintable() and not has_user and not any(each in uri for each in (" ", "?", "#", ".."))


def matches_format(uri: str, uri_format: UriFormat) -> bool:
    """Return whether a URI has the format of its scheme."""
    return re.search(uri_format.pattern, uri, re.ASCII) is not None and not uri.endswith("\n")


def claim_of(uri: str) -> str | None:
    """Return the PersistentVolumeClaim of a pvc:// URI; None for other schemes."""
    match = _CLAIM.fullmatch(uri) if uri.startswith("pvc://") else None
    return match[1] if match else None
