"""Exceptions of all requests to the API server, as one family.

The API server answers an error with a Status object that has a message for people. The message is kept, cut to the
length of a condition, so that a user reads the API server's own sentence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from manyserve.cluster.kinds import NAMESPACE, Kind

MESSAGE_LIMIT = 1024
LONGEST_RETRY_AFTER = 30.0
"""Seconds to wait at most, for any Retry-After: a longer one would stop the work of a host, or the writes of all."""


class ClusterError(Exception):
    """A request that failed."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message[:MESSAGE_LIMIT])
        self.code = code
        """The HTTP status, or 0 without a response."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait, at most `LONGEST_RETRY_AFTER`."""
        self._details = details or {}

    @property
    def namespace_ends(self) -> bool:
        """Whether the API server answers a write so: its namespace is being terminated, or does not exist."""
        causes = self._details.get("causes") or ()
        terminating = any(isinstance(each, dict) and each.get("reason") == "NamespaceTerminating" for each in causes)
        missing = self._details.get("kind") == NAMESPACE.plural
        return (self.code == 403 and terminating) or (self.code == 404 and missing)

    def is_about(self, kind: Kind, name: str) -> bool:
        """Return whether the API server names this object. It does not when it does not serve the kind."""
        details = self._details
        return (details.get("group"), details.get("kind"), details.get("name")) == (kind.group, kind.plural, name)


class Invalid(ClusterError):
    """400, 413, 415, 422: the object itself is refused; a retry does not help."""


class Unauthorized(ClusterError):
    """401: the token is refused."""


class Forbidden(ClusterError):
    """403: a right is missing, a quota is used up, or an admission plugin refuses."""


class NamespaceEnding(Forbidden):
    """403 or 404: the namespace of a write is being terminated, or does not exist; or the write was not sent."""


class NotFound(ClusterError):
    """404: the object or its kind does not exist."""


class Conflict(ClusterError):
    """409: the object has changed since it was read."""


class AlreadyExists(Conflict):
    """409: an object of this name exists."""


class Expired(ClusterError):
    """410: the resourceVersion of the watch or list is too old."""


class Throttled(ClusterError):
    """429: too many requests."""


class Unavailable(ClusterError):
    """5xx, no connection, no response in time, or a malformed response."""


class WatchTimeout(ClusterError):
    """A watch sent no event and no bookmark for too long."""


class ForeignObject(ClusterError):
    """An object of this name has another owner."""


class NotTakenOver(ClusterError):
    """An object that another controller made for the host stays until the host's Deployment is ready."""


class OutOfScope(ClusterError):
    """The write was not sent, since its namespace is out of scope."""


class NotLeading(ClusterError):
    """The write was not sent, since another replica may lead."""


class Pruning(ClusterError):
    """The write was not sent, since a published CRD prunes unknown fields, or may prune them."""


class TooManyWrites(ClusterError):
    """The write was not sent, since its object was written too often: another controller may change it back."""


class ChildRejected(ClusterError):
    """A part of a plan was refused for good. It is tried again much later, or after a change."""


_REFUSALS = (Forbidden, Invalid, ForeignObject, NotFound, TooManyWrites)


def is_refusal(error: ClusterError) -> bool:
    """Return whether an object is refused for good; with code 500 a webhook does not answer."""
    if isinstance(error, NamespaceEnding):
        return False
    return isinstance(error, _REFUSALS) or (isinstance(error, Unavailable) and error.code == 500)


_FATAL = (NamespaceEnding, NotLeading, OutOfScope, Pruning, Throttled, Unauthorized, Unavailable)


def is_fatal(error: Exception) -> bool:
    """Return whether other writes will fail for the same reason, each after its own timeout."""
    return isinstance(error, _FATAL)


_BY_CODE: dict[int, type[ClusterError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Throttled,
}


def from_status(status: dict[str, Any], *, code: int = 0, retry_after: float | None = None) -> ClusterError:
    """Return the error for a Status object of the API server."""
    code = code or int(status.get("code") or 500)
    kind = _BY_CODE.get(code, Unavailable if code >= 500 else ClusterError)
    if kind is Conflict and status.get("reason") == "AlreadyExists":
        kind = AlreadyExists
    message = str(status.get("message") or f"the API server answered {code}")
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    return kind(message, code=code, retry_after=retry_after, details=details)


def from_response(code: int, body: bytes, retry_after: str | None = None) -> ClusterError:
    """Return the error for an HTTP response; its body may or may not be a Status object."""
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": body[:MESSAGE_LIMIT].decode(errors="replace").strip()}
    return from_status(status if isinstance(status, dict) else {}, code=code, retry_after=_seconds(retry_after))


def _seconds(text: str | None) -> float | None:
    return min(float(text), LONGEST_RETRY_AFTER) if text is not None and text.isdecimal() else None
