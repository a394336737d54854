"""A verdict, and the AdmissionReview that carries it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manyserve.plan.rules.field_error import FieldError
from manyserve.webhook.admission_request import API_VERSION
from manyserve.webhook.allocations import Allocation

MESSAGE_LIMIT = 1024
WARNING_LIMIT = 256
"""The API server cuts longer ones."""


@dataclass(frozen=True)
class Decision:
    """May the object be stored? `message` says why not; `warnings` are shown to the user in either case."""

    allowed: bool
    message: str = ""
    code: int = 200
    reason: str = ""
    warnings: tuple[str, ...] = ()
    reserve: Allocation | None = None
    """Memory to hold for the model until the informer shows it."""


ALLOWED = Decision(allowed=True)


def allowed(*warnings: str, reserve: Allocation | None = None) -> Decision:
    """Return a yes, perhaps with words for the user."""
    return Decision(allowed=True, warnings=warnings, reserve=reserve)


def invalid(problems: Sequence[FieldError]) -> Decision:
    """Return a no because the object by itself is wrong."""
    return Decision(allowed=False, message="; ".join(map(str, problems)), code=422, reason="Invalid")


def forbidden(path: str, sentence: str) -> Decision:
    """Return a no because of what else there is."""
    return Decision(allowed=False, message=f"{path}: {sentence}", code=403, reason="Forbidden")


def to_response(uid: str, verdict: Decision) -> dict[str, Any]:
    """Return the AdmissionReview with the verdict on the request with this uid."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        message = truncate(verdict.message, MESSAGE_LIMIT)
        response["status"] = {"code": verdict.code, "reason": verdict.reason, "message": message}
    if verdict.warnings:
        response["warnings"] = [truncate(each, WARNING_LIMIT) for each in verdict.warnings]
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def truncate(text: str, limit: int) -> str:
    """Return a text of at most so many characters, all printable, with dots where some are left out."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
