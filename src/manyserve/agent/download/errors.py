"""Errors of sources as sentences for users: of web servers, of object stores, and of the Hugging Face hub.

Without access to a private repository, the hub answers that the repository does not exist.
"""

from __future__ import annotations

import re

import aiohttp

from manyserve.agent.download.base import DownloadError, with_hint
from manyserve.redaction import one_line

NOT_FOUND = ("was not found", "not_found", True)
OTHER = ("could not be read", "unavailable", False)
FORBIDDEN = ("may not be read", "forbidden", True)
_WEB_STATUSES = {401: FORBIDDEN, 403: FORBIDDEN, 404: NOT_FOUND, 410: NOT_FOUND}
_WEB_KINDS: tuple[tuple[type[BaseException], str, str, bool], ...] = (
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
_MAX_CHARACTERS = 8 * 1024
_ANSWER = re.compile(r"<Code>(?P<code>[^<]*)</Code>.*?<Message>(?P<message>[^<]*)", re.DOTALL)
_CAUSES = (
    re.compile(r"InvalidCertificate\(\s*(?P<cause>\w+)"),
    re.compile(r'"dns error".{0,200}?error: "(?P<cause>[^"]*)', re.DOTALL),
    re.compile(r'Os \{\s*code: \d+,\s*kind: \w+,\s*message: "(?P<cause>[^"]*)'),
)
_STATUS = re.compile(r"status code: (?P<code>\d{3})")
_NOT_PUBLIC = "PublicAccessNotPermitted"  # Azure's answer, with 409, to an anonymous request
_STORE_STATUSES = {"401": FORBIDDEN, "403": FORBIDDEN, "404": NOT_FOUND}


def status_error(uri: str, status: int) -> DownloadError:
    """Return the error of a web server's status. Only 401, 403, 404 and 410 are permanent."""
    problem, reason, permanent = _WEB_STATUSES.get(status, OTHER)
    return DownloadError(f"{uri} {problem}: the server answered {status}", reason=reason, permanent=permanent)


def web_error(error: BaseException, uri: str) -> DownloadError | None:
    """Convert an error of a web server's download, the first of a group; None for a type that can only be a bug."""
    if isinstance(error, BaseExceptionGroup):
        return web_error(error.exceptions[0], uri)
    if isinstance(error, DownloadError):
        return error
    for kind, problem, reason, permanent in _WEB_KINDS:
        if isinstance(error, kind):
            sentence = f"{uri} {problem}" + (f": {error}" if reason in {"tls", "disk"} else "")
            return DownloadError(one_line(sentence), reason=reason, permanent=permanent)
    return None


def store_error(error: BaseException, uri: str, hint: str = "") -> DownloadError:
    """Convert any error of an object store's download, of a group the first; `hint` is for a denied request.

    A store may deny a request by the answer that a private bucket does not exist.
    """
    if isinstance(error, BaseExceptionGroup):
        return store_error(error.exceptions[0], uri, hint)
    if isinstance(error, DownloadError):
        return error
    words = shorten(str(error))
    problem, reason, permanent = _classify_store_error(error, words)
    sentence = f"{uri} {problem}: {words}" if words else f"{uri} {problem}"
    converted = DownloadError(sentence, reason=reason, permanent=permanent)
    return with_hint(converted, hint) if hint and reason in {"forbidden", "not_found"} else converted


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


def _classify_store_error(error: BaseException, words: str) -> tuple[str, str, bool]:
    """Return the problem, the label of the metric, and whether the error is permanent."""
    from obstore import exceptions  # noqa: PLC0415 (only when needed: it is large)

    status = _STATUS.search(words)  # a failed listing has the same type of error for each cause
    if _NOT_PUBLIC in words:
        return FORBIDDEN
    if status and status["code"] in _STORE_STATUSES:
        return _STORE_STATUSES[status["code"]]
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


def forbidden_error(uri: str, missing: str) -> DownloadError:
    """Return the error of a repository or a file of the hub without access; `missing`: the clause without a token."""
    hint = (
        f"it is gated or private; {missing}"
        if missing
        else "the HF_TOKEN in the secret may not; ask its owner for access"
    )
    return DownloadError(f"{uri} may not be read: {hint}", reason="forbidden", permanent=True)


def listing_error(error: BaseException, uri: str, revision: str | None, missing: str) -> DownloadError:
    """Convert an error of the hub's listing; `missing` is as in `forbidden_error`."""
    if isinstance(error, TimeoutError):
        return DownloadError(f"{uri} could not be read: the hub did not answer in time", reason="stalled")
    response = getattr(error, "response", None)
    if response is None:
        return _error_without_response(error, uri)
    status, code = int(response.status_code), response.headers.get("X-Error-Code", "")
    if code == "RevisionNotFound":
        sentence = f"{uri} was not found: the repository has no revision {revision or 'main'}"
        return DownloadError(sentence, reason="not_found", permanent=True)
    if code == "GatedRepo" or status == 403:
        return forbidden_error(uri, missing)
    if status in {401, 404}:
        hint = f"it is private; {missing}" if missing else "the HF_TOKEN in the secret may not see it"
        return DownloadError(f"{uri} was not found, or {hint}", reason="not_found", permanent=True)
    return DownloadError(f"{uri} could not be read: the hub answered {status}", reason="unavailable")


def _error_without_response(error: BaseException, uri: str) -> DownloadError:
    """Convert the error of a request to the hub that was not sent, due to an invalid name, or not answered."""
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 (only when needed: it is large)

    if isinstance(error, HFValidationError):
        return DownloadError(one_line(f"{uri} is no name of the hub: {error}"), reason="bad_uri", permanent=True)
    return DownloadError(one_line(f"{uri} could not be read: the hub cannot be reached: {error}"), reason="unavailable")
