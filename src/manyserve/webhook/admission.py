"""AdmissionReview: the request in it, the decision on the request, and the response.

Any client that reaches the port may post any body. A body that is no review has no uid to answer to, and is HTTP 400. A
review of an unsuitable object is denied under its own uid. Either response has a sentence and no traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manyserve.api.names import GROUP, Key
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.webhook.allocations import Allocation

API_VERSION = "admission.k8s.io/v1"
VERSIONS = {"InferenceService": "v1beta1", "TrainedModel": "v1alpha1"}
OPERATIONS = ("CREATE", "UPDATE")
MESSAGE_LIMIT = 1024
WARNING_LIMIT = 256
"""Characters; the API server truncates longer warnings."""
NAME_LIMIT = 253
"""Characters of a namespace, a name or a uid, which may be kept after the review; Kubernetes has no longer ones."""

Raw = Mapping[str, Any]


class BadReviewError(ValueError):
    """An invalid review. `uid` is set when it can still be denied."""

    def __init__(self, sentence: str, uid: str | None = None) -> None:
        super().__init__(sentence)
        self.uid = uid


@dataclass(frozen=True)
class AdmissionRequest:
    """Request of the API server to store an object, in place of the old one if there is one."""

    uid: str
    kind: str
    operation: str
    namespace: str
    object: Raw
    old: Raw | None
    dry_run: bool
    subresource: str = ""

    @property
    def object_uid(self) -> str:
        """The uid of the object, or a substitute. It differs for a later object of the same name."""
        metadata = self.object.get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, Mapping) else None
        return uid if isinstance(uid, str) and uid else f"review {self.uid}"

    def host_key(self, name: str) -> Key:
        """Return the key of the host of this name in the object's namespace."""
        return Key(self.namespace, name)


def read(review: Any) -> AdmissionRequest:
    """Parse a review. Raises `BadReviewError`."""
    if not isinstance(review, Mapping) or review.get("kind") != "AdmissionReview":
        raise BadReviewError("the body is not an AdmissionReview")
    if review.get("apiVersion") != API_VERSION:
        raise BadReviewError(
            f"apiVersion {quoted(review.get('apiVersion'))} is not supported; it must be {API_VERSION}"
        )
    request = review.get("request")
    uid = request.get("uid") if isinstance(request, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(uid, str) or not uid:
        raise BadReviewError("the AdmissionReview has no request with a uid")
    if len(uid) > NAME_LIMIT:
        raise BadReviewError(f"the request's {_too_long('uid', uid)}")
    return AdmissionRequest(
        uid=uid,
        kind=_kind(request),
        operation=_operation(request),
        namespace=_namespace(request, uid),
        object=_object(request, "object", uid),
        old=_object(request, "oldObject", uid) if request.get("operation") == "UPDATE" else None,
        dry_run=request.get("dryRun") is True,
        subresource=_text(request, "subResource"),
    )


def _kind(request: Raw) -> str:
    """Return the kind. Another kind means wrong rules in the webhook configuration, so it is no denial."""
    kind = request.get("kind")
    group_version_kind = kind if isinstance(kind, Mapping) else {}
    name, group, version = (group_version_kind.get(key) for key in ("kind", "group", "version"))
    if group != GROUP or not isinstance(name, str) or VERSIONS.get(name) != version:
        known = " and ".join(f"{kind} {version}" for kind, version in VERSIONS.items())
        raise BadReviewError(f"kind {quoted(name)} is not reviewed; only {known} of {GROUP} are")
    return name


def _operation(request: Raw) -> str:
    operation = request.get("operation")
    if operation not in OPERATIONS:
        raise BadReviewError(f"operation {quoted(operation)} is not reviewed; only {' and '.join(OPERATIONS)} are")
    return str(operation)


def _namespace(request: Raw, uid: str) -> str:
    namespace = _text(request, "namespace")
    if len(namespace) > NAME_LIMIT:
        raise BadReviewError(f"the request's {_too_long('namespace', namespace)}", uid)
    return namespace


def _object(request: Raw, field: str, uid: str) -> Raw:
    value = request.get(field)
    if not isinstance(value, Mapping):
        raise BadReviewError(f"the request's {field} is {quoted(value)}; it must be an object", uid)
    metadata = value.get("metadata")
    for key in ("name", "uid"):
        text = _text(metadata, key) if isinstance(metadata, Mapping) else ""
        if len(text) > NAME_LIMIT:
            raise BadReviewError(f"{field}.metadata.{_too_long(key, text)}", uid)
    return value


def _text(fields: Raw, field: str) -> str:
    value = fields.get(field)
    return value if isinstance(value, str) else ""


def _too_long(field: str, text: str) -> str:
    """Return the sentence for a text of more than `NAME_LIMIT` characters."""
    return f"{field} has {len(text)} characters; it must have at most {NAME_LIMIT}"


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
