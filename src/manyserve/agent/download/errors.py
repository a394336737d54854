"""The errors of object stores, as sentences for users."""

from __future__ import annotations

from manyserve.agent.download.base import DownloadError
from manyserve.agent.text import one_line


def explained(error: BaseException, uri: str) -> DownloadError:
    """Return any error of a download as ours; of several, the first."""
    if isinstance(error, BaseExceptionGroup):
        return explained(error.exceptions[0], uri)
    if isinstance(error, DownloadError):
        return error
    says, reason, permanent = _judge(error)
    # What follows obstore's first paragraph is for its programmers.
    words = one_line(str(error).partition("\n\nDebug source")[0])
    return DownloadError(f"{uri} {says}: {words}" if words else f"{uri} {says}", reason=reason, permanent=permanent)


def _judge(error: BaseException) -> tuple[str, str, bool]:
    """Return what happened, the word for the metric, and whether a retry alone is not expected to help."""
    from obstore import exceptions  # noqa: PLC0415 (only when needed: it is large)

    match error:
        case TimeoutError():
            return "could not be read: it stalled", "stalled", False
        case FileNotFoundError() if error.errno is None:
            return "was not found", "not_found", True
        case exceptions.PermissionDeniedError() | exceptions.UnauthenticatedError():
            return "may not be read", "forbidden", True
        case exceptions.InvalidPathError():
            return "has an object with a name that is refused", "bad_name", True
        case OSError():
            return "could not be written to the volume", "disk", False
        case _:
            return "could not be read", "unavailable", False
