"""PersistentVolumeClaims of models at pvc://: which are mounted, and the conditions of models that wait for one.

A pod with a claim that is missing, not bound, or a block device never starts, and one user's mistake must not stop the
models of all others. So such a claim is not mounted. A mounted one leaves the pods, unless only its existence is
unknown. Claims are looked up repeatedly, and the model's condition names the claim meanwhile.

Models may run code, and any user who may create TrainedModels may name any claim of the namespace. So a claim must be
shared by its access modes, or carry a label of its owner. A claim that is mounted already stays mounted for the models
that are placed, with a Warning; no new model is placed on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from manyserve.api import names
from manyserve.api.conditions import LOADED, Condition, condition, known_status
from manyserve.api.modelconfig import Entry
from manyserve.api.storageuri import claim_of
from manyserve.plan.observed import ClaimRefusal, Manifest, Observed
from manyserve.plan.pods import Replica, mounted_claims
from manyserve.plan.rules.fields import quoted
from manyserve.plan.status.loading import still_served

CLAIM_NOT_FOUND = "PersistentVolumeClaimNotFound"
CLAIM_NOT_ALLOWED = "PersistentVolumeClaimNotAllowed"
OWNERS_LABEL = f"{names.GROUP}/readable-by-models"
"""Label of a claim that any model of its namespace may be read from, whatever its access modes are."""
MAX_CLAIMS = 32
"""Claims of models that a host's pods mount. Each is a volume of the node, and each new one replaces the pods."""
SHARED = ("ReadOnlyMany", "ReadWriteMany")
"""Access modes of a claim that its owner shares between pods."""


def claim_refusal(name: str, claim: Manifest) -> ClaimRefusal | None:
    """Return why a claim of this name that exists is not mounted for new models, or None."""
    metadata, spec = claim.get("metadata") or {}, claim.get("spec") or {}
    subject = f"PersistentVolumeClaim {name}"
    phase, mode = (claim.get("status") or {}).get("phase") or "Pending", spec.get("volumeMode") or "Filesystem"
    if phase != "Bound":
        return ClaimRefusal(f"{subject} is {phase}; it must be Bound to a volume, or no pod with it starts")
    if mode != "Filesystem":
        return ClaimRefusal(f"{subject} has the volumeMode {mode}; it must be Filesystem")
    modes = spec.get("accessModes") or ()
    if (metadata.get("labels") or {}).get(OWNERS_LABEL) == "true" or any(each in SHARED for each in modes):
        return None
    return ClaimRefusal(
        f"{subject} has the access mode {', '.join(modes)}; it must have "
        f"{' or '.join(SHARED)}, or its owner's label {OWNERS_LABEL}: {quoted('true')}",
        keeps_mounts=True,
    )


def claims_to_mount(observed: Observed, placed: Iterable[Entry]) -> tuple[str, ...]:
    """Return the claims of the placed models to mount, sorted: those that may be, and mounted ones that may stay.

    Of those that are not mounted yet, the first ones by name are added, up to `MAX_CLAIMS`.
    """
    named = {name for entry in placed if (name := claim_of(entry.model_spec.storage_uri))}
    existing = {name for name, problem in observed.claims.items() if problem is None} - observed.refused_claims.keys()
    kept = {name for name, refusal in observed.refused_claims.items() if refusal.keeps_mounts}
    unknown = (named - observed.claims.keys()) | observed.unverified_claims
    mounted = claims_of_deployment(observed)
    stay = named & mounted & (existing | kept | unknown)
    new = sorted((named & existing) - mounted)[: max(0, MAX_CLAIMS - len(stay))]
    return tuple(sorted((*stay, *new)))


def blocked_claims(observed: Observed) -> dict[str, str]:
    """Return sentences about mounted claims that no new model may be read from, by name.

    Another claim needs no such sentence: a model that is placed on it waits for the mount.
    """
    sentences = {}
    for name in claims_of_deployment(observed):
        refusal = observed.refused_claims.get(name)
        if refusal is not None:
            sentences[name] = refusal.sentence
        elif name not in observed.claims:
            sentences[name] = f"PersistentVolumeClaim {name} has not been looked up yet"
        elif name in observed.unverified_claims:
            sentences[name] = str(observed.claims[name])
    return sentences


def claims_of_deployment(observed: Observed) -> frozenset[str]:
    """Return the claims in the pod templates of the host's Deployment, or of its shards."""
    host = observed.key.name
    own = (
        manifest
        for child, manifest in observed.children.items()
        if child.kind == "Deployment"
        and (child.name == names.deployment(host) or names.shard_of_deployment(host, child.name) is not None)
    )
    templates = (((each.get("spec") or {}).get("template") or {}).get("spec") or {} for each in own)
    return frozenset(claim for template in templates for claim in mounted_claims(template))


def claim_condition(loaded: Condition, entry: Entry, observed: Observed, replicas: Sequence[Replica]) -> Condition:
    """Return the condition `Loaded`, with the claim that the model waits for, or that it should not be read from."""
    claim = claim_of(entry.model_spec.storage_uri)
    if claim is None:
        return loaded
    refusal = observed.refused_claims.get(claim)
    if loaded.status == "True":
        return loaded if refusal is None else _warning(refusal)
    problem = observed.claims.get(claim)
    without = [replica for replica in replicas if claim not in replica.claims]
    if problem is not None and (without or claim not in observed.unverified_claims):
        reason, message = CLAIM_NOT_FOUND, f"{problem}; the model waits for it"
    elif refusal is not None and (without or not refusal.keeps_mounts):
        reason, message = CLAIM_NOT_ALLOWED, f"{refusal.sentence}; the model waits for it"
    elif without and claim not in (mounted := claims_of_deployment(observed)) and len(mounted) >= MAX_CLAIMS:
        reason = CLAIM_NOT_ALLOWED
        message = f"the host's pods mount {len(mounted)} PersistentVolumeClaims; the model waits until one has no model"
    elif without:
        reason = "Pending"
        message = f"pods are being replaced by ones that mount PersistentVolumeClaim {claim}; {without[0].name} has not"
    else:
        return loaded
    return condition(LOADED, known_status(loaded.status), reason, f"{message}{still_served(entry, replicas)}")


def _warning(refusal: ClaimRefusal) -> Condition:
    """Return the condition of a model that answers, and that no pod could read again."""
    return condition(LOADED, "True", CLAIM_NOT_ALLOWED, f"{refusal.sentence}; this model stays, new ones are refused")
