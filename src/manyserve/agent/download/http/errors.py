"""Errors of web servers as sentences for users."""

from __future__ import annotations

import aiohttp

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line

_STATUSES = {
    401: ("may not be read", "forbidden", True),
    403: ("may not be read", "forbidden", True),
    404: ("was not found", "not_found", True),
    410: ("was not found", "not_found", True),
}
_OTHER = ("could not be read", "unavailable", False)
_KINDS: tuple[tuple[type[BaseException], str, str, bool], ...] = (
    (TimeoutError, "could not be read: it stalled", "stalled", False),
    (aiohttp.ClientConnectorCertificateError, "could not be read: its certificate is not trusted", "tls", True),
    (aiohttp.ClientSSLError, "could not be read: the TLS handshake with its host failed", "tls", False),
    (aiohttp.ClientConnectorDNSError, "could not be read: its host name cannot be resolved", "unavailable", False),
    (aiohttp.ClientConnectorError, "could not be read: its host cannot be reached", "unavailable", False),
    (aiohttp.ClientPayloadError, "was cut short", "short", False),
    (aiohttp.InvalidURL, "is no URL that can be read", "bad_uri", True),
    (aiohttp.ClientError, "could not be read: the connection was lost", "unavailable", False),
    (OSError, "could not be written to the volume", "disk", False),
)


def status_error(uri: str, status: int) -> DownloadError:
    """Return the error of a response's status. Only 401, 403, 404 and 410 are permanent."""
    problem, reason, permanent = _STATUSES.get(status, _OTHER)
    return DownloadError(f"{uri} {problem}: the server answered {status}", reason=reason, permanent=permanent)


def to_download_error(error: BaseException, uri: str) -> DownloadError | None:
    """Convert an error of a download, the first of a group; None for a type that can only be a bug."""
    if isinstance(error, BaseExceptionGroup):
        return to_download_error(error.exceptions[0], uri)
    if isinstance(error, DownloadError):
        return error
    for kind, problem, reason, permanent in _KINDS:
        if isinstance(error, kind):
            sentence = f"{uri} {problem}" + (f": {error}" if reason in {"tls", "disk"} else "")
            return DownloadError(one_line(sentence), reason=reason, permanent=permanent)
    return None
