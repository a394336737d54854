"""What a host's agent is given to reach the stores of its models: environment, and folders to read.

All of it is part of the pod template, so what stands here is only what changes seldom: which secrets and
claims there are, not what is in them. Whoever changes one of these lists has the host's pods replaced, one
after the other; a secret's new content reaches the running agents by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manyserve.plan.children.common import digest
from manyserve.plan.observed import Observed
from manyserve.plan.placement import Placement
from manyserve.plan.storage.claims import claims_to_mount
from manyserve.plan.storage.env import S3_CA_DIR, annotated, configured
from manyserve.plan.storage.secrets import CREDENTIALS_DIR, mounted_secrets

PVC_DIR = "/mnt/pvc"


@dataclass(frozen=True)
class Folder:
    """A volume that the agent reads: what it is, and where it is seen."""

    kind: str
    what: str
    volume: dict[str, Any]
    path: str

    @property
    def name(self) -> str:
        """Name of the volume; what it is called may be too long for one, or have dots."""
        return f"{self.kind}-{digest(self.what)}"


@dataclass(frozen=True)
class Sources:
    """The environment of the agent as far as stores go, and its folders."""

    env: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[Folder, ...] = ()


def sources_of(observed: Observed, placement: Placement) -> Sources:
    """Return what the agents of the host are to have."""
    s3 = annotated(observed.account)
    secrets = (_secret(name) for name in mounted_secrets(observed.account))
    claims = (_claim(name) for name in claims_to_mount(observed, placement.placed.values()))
    config_map = s3.config_map or observed.config.credentials.s3.s3_ca_bundle_config_map
    certificates = (_certificates(config_map),) if config_map else ()
    env = configured(observed.config.credentials) | s3.env
    return Sources(env, (*secrets, *claims, *certificates))


def _secret(name: str) -> Folder:
    """Return the folder of a secret; one that is missing keeps no pod from starting, and is mounted when it comes."""
    volume = {"secret": {"secretName": name, "optional": True, "defaultMode": 0o440}}
    return Folder("secret", name, volume, f"{CREDENTIALS_DIR}/{name}")


def _claim(name: str) -> Folder:
    volume = {"persistentVolumeClaim": {"claimName": name, "readOnly": True}}
    return Folder("claim", name, volume, f"{PVC_DIR}/{name}")


def _certificates(name: str) -> Folder:
    return Folder("ca", name, {"configMap": {"name": name, "optional": True}}, S3_CA_DIR)
