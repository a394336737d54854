"""The errors of object stores, as sentences for users."""

from __future__ import annotations

import re

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line

NOT_FOUND = ("was not found", "not_found", True)
OTHER = ("could not be read", "unavailable", False)
FORBIDDEN = ("may not be read", "forbidden", True)
_MOST_CHARACTERS = 8 * 1024
_ANSWER = re.compile(r"<Code>(?P<code>[^<]*)</Code>.*?<Message>(?P<message>[^<]*)", re.DOTALL)
_CAUSES = (
    re.compile(r"InvalidCertificate\(\s*(?P<why>\w+)"),
    re.compile(r'"dns error".{0,200}?error: "(?P<why>[^"]*)', re.DOTALL),
    re.compile(r'Os \{\s*code: \d+,\s*kind: \w+,\s*message: "(?P<why>[^"]*)'),
)
_STATUS = re.compile(r"status code: (?P<code>\d{3})")
_STATUSES = {"401": FORBIDDEN, "403": FORBIDDEN, "404": NOT_FOUND}


def explained(error: BaseException, uri: str) -> DownloadError:
    """Return any error of a download as ours; of several, the first."""
    if isinstance(error, BaseExceptionGroup):
        return explained(error.exceptions[0], uri)
    if isinstance(error, DownloadError):
        return error
    words = shortened(str(error))
    says, reason, permanent = _judge(error, words)
    return DownloadError(f"{uri} {says}: {words}" if words else f"{uri} {says}", reason=reason, permanent=permanent)


def shortened(text: str) -> str:
    """Return what is worth reading of an error of obstore.

    Of a store's XML that is the code and the first line of the message: what follows are signatures, and numbers
    that would make each try's message another one, as would the request with its duration, before the dash. The
    paragraphs after the first are for obstore's programmers, and may know why there was no connection. Of an
    answer of any length only the beginning is looked at.
    """
    told, _, source = (part[:_MOST_CHARACTERS] for part in text.partition("\n\nDebug source"))
    head, dash, tail = told.partition(" - ")
    words = tail if dash and "Error performing" in head else head
    if answer := _ANSWER.search(words):
        status, message = words[: answer.start()].partition("<")[0], answer["message"].strip().partition("\n")[0]
        words = f"{status.rstrip(': ')}: {answer['code']}: {message}"
    why = next((found["why"] for cause in _CAUSES if (found := cause.search(source))), "")
    return one_line(f"{words}: {why}" if why else words)


def _judge(error: BaseException, words: str) -> tuple[str, str, bool]:
    """Return what happened, the word for the metric, and whether a retry alone is not expected to help."""
    from obstore import exceptions  # noqa: PLC0415 (only when needed: it is large)

    status = _STATUS.search(words)  # listings fail with one type of error whatever the reason
    if status and status["code"] in _STATUSES:
        return _STATUSES[status["code"]]
    kinds: dict[type[BaseException] | tuple[type[BaseException], ...], tuple[str, str, bool]] = {
        TimeoutError: ("could not be read: it stalled", "stalled", False),
        (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError): FORBIDDEN,
        exceptions.PreconditionError: ("changed while it was downloaded", "changed", False),
        exceptions.InvalidPathError: ("has an object with a name that is refused", "bad_name", True),
        OSError: ("could not be written to the volume", "disk", False),
    }
    if isinstance(error, FileNotFoundError) and error.errno is None:  # obstore's, not the volume's
        return NOT_FOUND
    return next((told for kind, told in kinds.items() if isinstance(error, kind)), OTHER)
