"""An AdmissionReview, read without trust: anyone who reaches the port may post anything.

What is not a review at all has no uid to answer to and becomes HTTP 400; what is one, but not about an object
that can be judged, is denied under its own uid. Both come with a sentence, neither with a trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manyserve.api.names import GROUP, Key
from manyserve.plan.rules.field_error import quoted

API_VERSION = "admission.k8s.io/v1"
VERSIONS = {"InferenceService": "v1beta1", "TrainedModel": "v1alpha1"}
OPERATIONS = ("CREATE", "UPDATE")

Raw = Mapping[str, Any]


class BadReviewError(ValueError):
    """Not a review that we can answer. `uid` is there when at least a denial can be addressed."""

    def __init__(self, sentence: str, uid: str | None = None) -> None:
        super().__init__(sentence)
        self.uid = uid


@dataclass(frozen=True)
class AdmissionRequest:
    """What the API server asks: whether an object may be stored, in place of the old one when there is one."""

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
        """What tells this object from all others, also from a namesake made after it is gone."""
        metadata = self.object.get("metadata")
        uid = metadata.get("uid") if isinstance(metadata, Mapping) else None
        return uid if isinstance(uid, str) and uid else f"review {self.uid}"

    def host(self, name: str) -> Key:
        """Return the key of the host of this name in the object's namespace."""
        return Key(self.namespace, name)


def read(review: Any) -> AdmissionRequest:
    """Return the request of a review. Raises `BadReviewError`."""
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
    return AdmissionRequest(
        uid=uid,
        kind=_kind(request),
        operation=_operation(request),
        namespace=_text(request, "namespace"),
        object=_object(request, "object", uid),
        old=_object(request, "oldObject", uid) if request.get("operation") == "UPDATE" else None,
        dry_run=request.get("dryRun") is True,
        subresource=_text(request, "subResource"),
    )


def _kind(request: Raw) -> str:
    """Return the kind; another one here means wrong rules in the webhook configuration: not the user's fault."""
    kind = request.get("kind")
    found = kind if isinstance(kind, Mapping) else {}
    name = found.get("kind")
    if found.get("group") != GROUP or not isinstance(name, str) or VERSIONS.get(name) != found.get("version"):
        known = " and ".join(f"{kind} {version}" for kind, version in VERSIONS.items())
        raise BadReviewError(f"kind {quoted(name)} is not judged here; only {known} of {GROUP} are")
    return name


def _operation(request: Raw) -> str:
    operation = request.get("operation")
    if operation not in OPERATIONS:
        raise BadReviewError(f"operation {quoted(operation)} is not judged here; only {' and '.join(OPERATIONS)} are")
    return str(operation)


def _object(request: Raw, field: str, uid: str) -> Raw:
    found = request.get(field)
    if not isinstance(found, Mapping):
        raise BadReviewError(f"the request's {field} is {quoted(found)}; it must be an object", uid)
    return found


def _text(request: Raw, field: str) -> str:
    found = request.get(field)
    return found if isinstance(found, str) else ""
