"""Which PersistentVolumeClaims the host's pods mount, for models at pvc://, and what a model waits for.

Only claims that exist are mounted: a pod that names one which does not exist never starts, and one user's
slip must not stop everyone's models. The others are looked for again and again; the model says so meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from manyserve.api.conditions import Condition
from manyserve.api.modelconfig import Entry
from manyserve.api.storageuri import claim_of
from manyserve.plan.observed import Observed
from manyserve.plan.pods import Replica

CLAIM_NOT_FOUND = "PersistentVolumeClaimNotFound"


def claims_to_mount(observed: Observed, placed: Iterable[Entry]) -> tuple[str, ...]:
    """Return the claims of the placed models that exist, sorted."""
    named = {claim_of(entry.model_spec.storage_uri) for entry in placed}
    return tuple(sorted(name for name, why_not in observed.claims.items() if why_not is None and name in named))


def claim_told(loaded: Condition, entry: Entry, observed: Observed, replicas: Sequence[Replica]) -> Condition:
    """Return the condition `Loaded`, in the words of what the model's claim waits for when it is not true."""
    claim = claim_of(entry.model_spec.storage_uri)
    if claim is None or loaded.status == "True":
        return loaded
    missing = observed.claims.get(claim)
    if missing is not None:
        return loaded.model_copy(update={"reason": CLAIM_NOT_FOUND, "message": f"{missing}; the model waits for it"})
    without = [each for each in replicas if claim not in each.claims]
    if without:
        message = f"pods are being replaced by ones that mount PersistentVolumeClaim {claim}; {without[0].name} has not"
        return loaded.model_copy(update={"reason": "Pending", "message": message})
    return loaded
