"""PersistentVolumeClaims that the host's pods mount, for models at pvc://, and the condition of a model that waits.

Only existing claims are mounted, because a pod with a missing one never starts: one user's mistake must not stop the
models of all others. Missing claims are polled, and the model's condition names the claim meanwhile. A mounted claim
stays mounted while its existence is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from manyserve.api import names
from manyserve.api.conditions import LOADED, Condition, condition, known_status
from manyserve.api.modelconfig import Entry
from manyserve.api.storageuri import claim_of
from manyserve.plan.observed import Observed
from manyserve.plan.pods import Replica, mounted_claims
from manyserve.plan.status.loading import still_served

CLAIM_NOT_FOUND = "PersistentVolumeClaimNotFound"


def claims_to_mount(observed: Observed, placed: Iterable[Entry]) -> tuple[str, ...]:
    """Return the claims of the placed models that exist, and those of unknown existence that are mounted, sorted."""
    named = {name for entry in placed if (name := claim_of(entry.model_spec.storage_uri))}
    existing = {name for name, problem in observed.claims.items() if problem is None}
    unknown = (named - observed.claims.keys()) | observed.unverified_claims
    return tuple(sorted(named & (existing | (unknown & _mounted(observed)))))


def _mounted(observed: Observed) -> frozenset[str]:
    deployment = observed.child("Deployment", names.deployment(observed.key.name))
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    return mounted_claims(template.get("spec") or {})


def claim_condition(loaded: Condition, entry: Entry, observed: Observed, replicas: Sequence[Replica]) -> Condition:
    """Return the condition `Loaded`; while it is not True, its reason names the claim that the model waits for."""
    claim = claim_of(entry.model_spec.storage_uri) if loaded.status != "True" else None
    if claim is None:
        return loaded
    problem = observed.claims.get(claim)
    without = [replica for replica in replicas if claim not in replica.claims]
    if problem is not None and (without or claim not in observed.unverified_claims):
        reason, message = CLAIM_NOT_FOUND, f"{problem}; the model waits for it"
    elif without:
        reason = "Pending"
        message = f"pods are being replaced by ones that mount PersistentVolumeClaim {claim}; {without[0].name} has not"
    else:
        return loaded
    return condition(LOADED, known_status(loaded.status), reason, f"{message}{still_served(entry, replicas)}")
