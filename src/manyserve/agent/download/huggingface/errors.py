"""Errors of the Hugging Face hub as sentences for users.

Without access to a private repository, the hub answers that the repository does not exist.
"""

from __future__ import annotations

from manyserve.agent.download.base import DownloadError
from manyserve.agent.redaction import one_line


def forbidden_error(uri: str, *, has_token: bool) -> DownloadError:
    """Return the error of a repository or a file without access."""
    hint = (
        "the HF_TOKEN in the secret may not; ask its owner for access"
        if has_token
        else "it is gated or private; the host's ServiceAccount needs a secret with the key HF_TOKEN"
    )
    return DownloadError(f"{uri} may not be read: {hint}", reason="forbidden", permanent=True)


def listing_error(error: BaseException, uri: str, revision: str | None, *, has_token: bool) -> DownloadError:
    """Convert an error of a listing."""
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
        return forbidden_error(uri, has_token=has_token)
    if status in {401, 404}:
        hint = "the HF_TOKEN in the secret may not see it" if has_token else "it is private and needs an HF_TOKEN"
        return DownloadError(f"{uri} was not found, or {hint}", reason="not_found", permanent=True)
    return DownloadError(f"{uri} could not be read: the hub answered {status}", reason="unavailable")


def _error_without_response(error: BaseException, uri: str) -> DownloadError:
    """Convert the error of a request that was not sent, due to an invalid name, or not answered."""
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 (only when needed: it is large)

    if isinstance(error, HFValidationError):
        return DownloadError(one_line(f"{uri} is no name of the hub: {error}"), reason="bad_uri", permanent=True)
    return DownloadError(one_line(f"{uri} could not be read: the hub cannot be reached: {error}"), reason="unavailable")
