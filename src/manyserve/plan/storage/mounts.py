"""Environment and volumes by which a host's agents reach the stores of its models.

Both are part of the pod template, and any change rolls out new pods one after the other. So the template holds only
the names of secrets and claims, which seldom change. The kubelet updates the content of a mounted secret in running
pods.

Secrets are those in the list of the host's ServiceAccount, as in KServe. The operator reads no secret. It mounts them
by name, into the agent only: the model server runs code of models and gets no credential. Older clusters add tokens and
registry passwords to the same list. They are left out if their names show it. An invalid name is left out, too: the API
server accepts it in the list, but would refuse the whole Deployment.

PersistentVolumeClaims are those of models at pvc://. Only existing claims are mounted, because a pod with a missing one
never starts: one user's mistake must not stop the models of all others. Missing claims are polled, and the model's
condition names the claim meanwhile. A mounted claim stays mounted while its existence is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from manyserve.api import names
from manyserve.api.conditions import LOADED, Condition, condition, known_status
from manyserve.api.modelconfig import Entry
from manyserve.api.storageuri import claim_of
from manyserve.plan.children.common import digest
from manyserve.plan.observed import Account, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.pods import Replica, mounted_claims
from manyserve.plan.rules.fields import quoted
from manyserve.plan.status.loading import still_served
from manyserve.plan.storage.env import S3_CA_DIR, annotated, configured

PVC_DIR = "/mnt/pvc"
CREDENTIALS_DIR = "/mnt/credentials"
_GENERATED = 58
"""Characters of a secret's name that Kubernetes keeps before it appends five random ones."""
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
CLAIM_NOT_FOUND = "PersistentVolumeClaimNotFound"


@dataclass(frozen=True)
class Folder:
    """A read-only volume of the agent, and its mount path. `source` is the name of the secret, claim or ConfigMap."""

    kind: str
    source: str
    volume: dict[str, Any]
    path: str

    @property
    def name(self) -> str:
        """Name of the volume; a digest, since the name of the source may be too long for a volume or have dots."""
        return f"{self.kind}-{digest(self.source)}"


@dataclass(frozen=True)
class Sources:
    """Environment and volumes of the agent for stores."""

    env: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Folder, ...] = ()


def sources_of(observed: Observed, placement: Placement) -> Sources:
    """Return the environment and the volumes for the agents of the host."""
    s3 = annotated(observed.account)
    secrets = (_secret(name) for name in mounted_secrets(observed.account))
    claims = (_claim(name) for name in claims_to_mount(observed, placement.placed.values()))
    config_map = s3.config_map or observed.config.credentials.s3.s3_ca_bundle_config_map
    certificates = (_certificates(config_map),) if config_map else ()
    env = configured(observed.config.credentials) | s3.env
    return Sources(env, (*secrets, *claims, *certificates))


def _secret(name: str) -> Folder:
    """Return the volume of a secret. A missing secret prevents no pod from starting, and is mounted once it exists."""
    volume = {"secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
    return Folder("secret", name, volume, f"{CREDENTIALS_DIR}/{name}")


def _claim(name: str) -> Folder:
    volume = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
    return Folder("claim", name, volume, f"{PVC_DIR}/{name}")


def _certificates(name: str) -> Folder:
    return Folder("ca", name, {"configMap": {"name": name, "optional": True}}, S3_CA_DIR)


def mounted_secrets(account: Account | None) -> tuple[str, ...]:
    """Return the names of the secrets to mount, sorted; none without a ServiceAccount."""
    if account is None:
        return ()
    prefixes = (re.escape(f"{account.name}-{kind}-"[:_GENERATED]) for kind in ("token", "dockercfg"))
    generated = re.compile(rf"({'|'.join(prefixes)})[a-z0-9]{{5}}")
    secrets = {name for name in account.secrets if _SECRET_NAME.fullmatch(name)} - set(account.pull_secrets)
    return tuple(sorted(name for name in secrets if not generated.fullmatch(name)))


def secret_problems(account: Account | None) -> tuple[str, ...]:
    """Return sentences about invalid names in the list of secrets, and about secrets that could not be read."""
    if account is None:
        return ()
    invalid = sorted({name for name in account.secrets if not _SECRET_NAME.fullmatch(name)})
    sentences = (f"{quoted(name)} is listed in its secrets and is not the name of one" for name in invalid)
    return (*sentences, *account.problems)


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
