"""Environment and volumes by which a host's agents reach the stores of its models.

Both are part of the pod template, and any change rolls out new pods one after the other. So the template holds only
the names of secrets and claims, which seldom change. The kubelet updates the content of a mounted secret in running
pods.

Secrets are those in the list of the host's ServiceAccount, as in KServe. The operator reads no secret. It mounts them
by name, into the agent only: the model server runs code of models and gets no credential. Older clusters add tokens and
registry passwords to the same list. They are left out if their names show it. An invalid name is left out, too: the API
server accepts it in the list, but would refuse the whole Deployment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manyserve.plan.children.common import digest
from manyserve.plan.observed import Account, Observed
from manyserve.plan.placement import Placement
from manyserve.plan.rules.fields import quoted
from manyserve.plan.storage.claims import claims_to_mount
from manyserve.plan.storage.env import S3_CA_DIR, annotated, configured

PVC_DIR = "/mnt/pvc"
CREDENTIALS_DIR = "/mnt/credentials"
_GENERATED = 58
"""Characters of a secret's name that Kubernetes keeps before it appends five random ones."""
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


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
