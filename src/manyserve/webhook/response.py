"""Decision on a request, and its serialization as an AdmissionReview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from manyserve.plan.rules.fields import FieldError
from manyserve.webhook.admission_request import API_VERSION
from manyserve.webhook.allocations import Allocation

MESSAGE_LIMIT = 1024
WARNING_LIMIT = 256
"""Characters; the API server truncates longer warnings."""


@dataclass(frozen=True)
class Decision:
    """Whether the object may be stored. `message` is the reason of a refusal; kubectl prints `warnings` in any case."""

    allowed: bool
    message: str = ""
    code: int = 200
    reason: str = ""
    warnings: tuple[str, ...] = ()
    reserve: Allocation | None = None
    """Memory to hold for the model until the informer shows it."""


ALLOWED = Decision(allowed=True)


def allowed(*warnings: str, reserve: Allocation | None = None) -> Decision:
    """Allow the request, with optional warnings."""
    return Decision(allowed=True, warnings=warnings, reserve=reserve)


def invalid(problems: Sequence[FieldError]) -> Decision:
    """Refuse an object that breaks rules by itself."""
    return Decision(allowed=False, message="; ".join(map(str, problems)), code=422, reason="Invalid")


def forbidden(path: str, sentence: str) -> Decision:
    """Refuse an object that conflicts with other objects."""
    return Decision(allowed=False, message=f"{path}: {sentence}", code=403, reason="Forbidden")


def to_response(uid: str, decision: Decision) -> dict[str, Any]:
    """Return the AdmissionReview with the decision on the request with this uid."""
    response: dict[str, Any] = {"uid": uid, "allowed": decision.allowed}
    if not decision.allowed:
        message = truncate(decision.message, MESSAGE_LIMIT)
        response["status"] = {"code": decision.code, "reason": decision.reason, "message": message}
    if decision.warnings:
        response["warnings"] = [truncate(each, WARNING_LIMIT) for each in decision.warnings]
    return {"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}


def truncate(text: str, limit: int) -> str:
    """Truncate a text to `limit` printable characters, with three dots for the rest."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
