"""Everything that can go wrong on the wire, as one family.

The API server answers an error with a Status object whose message is written for people. It is kept, cut to
a length that fits into a condition, so that a user reads the API's own sentence and not our guess.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from manyserve.cluster.kinds import Kind

MESSAGE_LIMIT = 1024


class ClusterError(Exception):
    """A request that did not do what it was meant to do."""

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
        """The HTTP status, or 0 when there was no answer."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait."""
        self._details = details or {}

    def is_about(self, kind: Kind, name: str) -> bool:
        """Return whether the API server names this object: it does not when it does not serve the kind."""
        details = self._details
        return (details.get("group"), details.get("kind"), details.get("name")) == (kind.group, kind.plural, name)


class Invalid(ClusterError):
    """400, 413, 415, 422: the object itself is refused; the same again will not help."""


class Unauthorized(ClusterError):
    """401: the token is not accepted."""


class Forbidden(ClusterError):
    """403: a right is missing, a quota is used up, or an admission plugin refuses."""


class NotFound(ClusterError):
    """404: the object, its namespace or its kind is not there."""


class Conflict(ClusterError):
    """409: the object has changed since it was read."""


class AlreadyExists(Conflict):
    """409: an object of this name is there already."""


class Expired(ClusterError):
    """410: the resourceVersion to go on from is too old."""


class Throttled(ClusterError):
    """429: too many requests."""


class Unavailable(ClusterError):
    """5xx, no connection, no answer in time, or an answer that cannot be read."""


class WatchTimeout(ClusterError):
    """A watch said nothing, not even a bookmark: it is dead, or its kind has not changed for long."""


class ForeignObject(ClusterError):
    """An object of the right name is there and belongs to somebody else."""


class NotTakenOver(ClusterError):
    """An object that another controller made for the host stays as it is until the host's Deployment is ready."""


class OutOfScope(ClusterError):
    """Nothing was sent: the namespace is out of scope."""


class NotLeading(ClusterError):
    """Another replica may be at work, so the write was not sent."""


class Pruning(ClusterError):
    """A published CRD prunes unknown fields, or may prune them, so the write was not sent."""


class ChildRejected(ClusterError):
    """A part of a plan was refused for good; it is to be tried again much later, or when something changes."""


_REFUSALS = (Forbidden, Invalid, ForeignObject, NotFound)


def is_refusal(error: ClusterError) -> bool:
    """Return whether an object is refused for good; with code 500 a webhook does not answer."""
    return isinstance(error, _REFUSALS) or (isinstance(error, Unavailable) and error.code == 500)


_FATAL = (NotLeading, OutOfScope, Pruning, Throttled, Unauthorized, Unavailable)


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
    """Return the error that a Status object of the API server stands for."""
    code = code or int(status.get("code") or 500)
    kind = _BY_CODE.get(code, Unavailable if code >= 500 else ClusterError)
    if kind is Conflict and status.get("reason") == "AlreadyExists":
        kind = AlreadyExists
    message = str(status.get("message") or f"the API server answered {code}")
    details = status.get("details")
    return kind(message, code=code, retry_after=retry_after, details=details if isinstance(details, dict) else None)


def from_answer(code: int, body: bytes, retry_after: str | None = None) -> ClusterError:
    """Return the error that an HTTP answer stands for, whether or not its body is a Status object."""
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": body[:MESSAGE_LIMIT].decode(errors="replace").strip()}
    return from_status(status if isinstance(status, dict) else {}, code=code, retry_after=_seconds(retry_after))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
