"""Review of the owner references of a TrainedModel, for instance after a restore of an older backup.

Kubernetes deletes an object with an owner that does not exist, so the restored model would vanish without a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from manyserve.api.names import GROUP
from manyserve.api_group import GROUPS
from manyserve.plan.rules.fields import quoted
from manyserve.webhook.admission_request import AdmissionRequest, Raw
from manyserve.webhook.cache import View
from manyserve.webhook.response import Decision, forbidden

COMMAND = (
    "kubectl patch --local --type=merge -f backup.yaml -o json "
    """-p '{"metadata":{"ownerReferences":null,"resourceVersion":null,"uid":null}}' """
    "| kubectl apply --server-side --force-conflicts -f -"
)
"""Restores a backup without owner references, even if some of its objects exist."""


def review_owners(request: AdmissionRequest, view: View) -> Decision | None:
    """Refuse a new owner reference to an InferenceService that does not exist."""
    before = list(_owners(request.old)) if request.old is not None else []
    for index, owner in enumerate(_owners(request.object)):
        if owner not in before and _is_host(owner) and not _exists(owner, request, view):
            return forbidden(f"metadata.ownerReferences[{index}]", _sentence(owner))
    return None


def _owners(model: Raw) -> Iterator[Any]:
    metadata = model.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, Mapping) else None
    return iter(owners if isinstance(owners, list) else ())


def _is_host(owner: Any) -> bool:
    if not isinstance(owner, Mapping) or owner.get("kind") != "InferenceService":
        return False
    return str(owner.get("apiVersion")).partition("/")[0] in GROUPS


def _exists(owner: Mapping[str, Any], request: AdmissionRequest, view: View) -> bool:
    if not str(owner.get("apiVersion")).startswith(f"{GROUP}/"):
        return False
    return view.uids.get(request.host_key(str(owner.get("name")))) == owner.get("uid")


def _sentence(owner: Mapping[str, Any]) -> str:
    return (
        f"InferenceService {quoted(owner.get('name'))} with uid {quoted(owner.get('uid'))} does not exist, and "
        "Kubernetes deletes an object that has an owner which does not exist. A model needs no owner. "
        "If it comes from a backup, "
        f"restore it without owner references: {COMMAND}"
    )
