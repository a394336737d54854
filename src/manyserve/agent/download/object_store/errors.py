"""Errors of object stores as sentences for users."""

from __future__ import annotations

import re

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line

NOT_FOUND = ("was not found", "not_found", True)
OTHER = ("could not be read", "unavailable", False)
FORBIDDEN = ("may not be read", "forbidden", True)
_MAX_CHARACTERS = 8 * 1024
_ANSWER = re.compile(r"<Code>(?P<code>[^<]*)</Code>.*?<Message>(?P<message>[^<]*)", re.DOTALL)
_CAUSES = (
    re.compile(r"InvalidCertificate\(\s*(?P<cause>\w+)"),
    re.compile(r'"dns error".{0,200}?error: "(?P<cause>[^"]*)', re.DOTALL),
    re.compile(r'Os \{\s*code: \d+,\s*kind: \w+,\s*message: "(?P<cause>[^"]*)'),
)
_STATUS = re.compile(r"status code: (?P<code>\d{3})")
_STATUSES = {"401": FORBIDDEN, "403": FORBIDDEN, "404": NOT_FOUND}


def to_download_error(error: BaseException, uri: str) -> DownloadError:
    """Convert any error of a download, of a group the first."""
    if isinstance(error, BaseExceptionGroup):
        return to_download_error(error.exceptions[0], uri)
    if isinstance(error, DownloadError):
        return error
    words = shorten(str(error))
    problem, reason, permanent = _classify(error, words)
    sentence = f"{uri} {problem}: {words}" if words else f"{uri} {problem}"
    return DownloadError(sentence, reason=reason, permanent=permanent)


def shorten(text: str) -> str:
    """Shorten an error of obstore to its useful part.

    Of a store's XML, only the code and the first line of the message stay. The rest has signatures and numbers, which
    would make the message of each attempt different. So would the request and its duration, before the dash.
    The paragraphs after the first are for the developers of obstore. They may hold the cause of a failed connection.
    Only the first `_MAX_CHARACTERS` of an answer are parsed.
    """
    message, _, source = (part[:_MAX_CHARACTERS] for part in text.partition("\n\nDebug source"))
    head, dash, tail = message.partition(" - ")
    words = tail if dash and "Error performing" in head else head
    if answer := _ANSWER.search(words):
        status, first_line = words[: answer.start()].partition("<")[0], answer["message"].strip().partition("\n")[0]
        words = f"{status.rstrip(': ')}: {answer['code']}: {first_line}"
    cause = next((match["cause"] for pattern in _CAUSES if (match := pattern.search(source))), "")
    return one_line(f"{words}: {cause}" if cause else words)


def _classify(error: BaseException, words: str) -> tuple[str, str, bool]:
    """Return the problem, the label of the metric, and whether the error is permanent."""
    from obstore import exceptions  # noqa: PLC0415 (only when needed: it is large)

    status = _STATUS.search(words)  # a failed listing has the same type of error for each cause
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
    return next((result for kind, result in kinds.items() if isinstance(error, kind)), OTHER)
