"""Which PersistentVolumeClaims the host's pods mount, for models at pvc://, and what a model waits for.

Only claims that exist are mounted: a pod that names one which does not exist never starts, and one user's
slip must not stop everyone's models. The others are looked for again and again; the model says so meanwhile.
One that is mounted already stays while it cannot be told whether it exists.
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
    """Return the claims of the placed models that exist, as far as can be told, sorted."""
    named = {name for entry in placed if (name := claim_of(entry.model_spec.storage_uri))}
    there = {name for name, why_not in observed.claims.items() if why_not is None}
    unknown = (named - observed.claims.keys()) | observed.unverified_claims
    return tuple(sorted(named & (there | (unknown & _mounted(observed)))))


def _mounted(observed: Observed) -> frozenset[str]:
    deployment = observed.child("Deployment", names.deployment(observed.key.name))
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    return mounted_claims(template.get("spec") or {})


def claim_condition(loaded: Condition, entry: Entry, observed: Observed, replicas: Sequence[Replica]) -> Condition:
    """Return the condition `Loaded`; while it is not True, with the claim that the model waits for."""
    claim = claim_of(entry.model_spec.storage_uri) if loaded.status != "True" else None
    if claim is None:
        return loaded
    missing = observed.claims.get(claim)
    without = [each for each in replicas if claim not in each.claims]
    if missing is not None and (without or claim not in observed.unverified_claims):
        reason, message = CLAIM_NOT_FOUND, f"{missing}; the model waits for it"
    elif without:
        reason = "Pending"
        message = f"pods are being replaced by ones that mount PersistentVolumeClaim {claim}; {without[0].name} has not"
    else:
        return loaded
    return condition(LOADED, known_status(loaded.status), reason, f"{message}{still_served(entry, replicas)}")
