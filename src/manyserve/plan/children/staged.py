"""Deployments of a host in a staged roll-out: the new pod template waits until the host's turn.

Annotations of each Deployment record a hash of everything in it that users give, and the time at which a roll-out by
the operator's own version or configuration began. A template that differs while the users' hash is the same is the
operator's own change. While the host waits, its Deployments keep their template, and get all other changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from manyserve.api import names
from manyserve.api.conditions import timestamp
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.common import belongs_to, digest
from manyserve.plan.host_metadata import child_annotations, child_labels
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.staging import Turn, waits
from manyserve.plan.storage.env import annotated
from manyserve.plan.storage.mounts import Sources, mounted_secrets

_OF_TEMPLATE = (names.TEMPLATE_HASH, names.REVISION)


@dataclass(frozen=True)
class Staging:
    """The roll-out of a host's Deployments."""

    inputs: str
    now: datetime
    current: Mapping[str, Manifest] = field(default_factory=dict)
    """The observed Deployments of the host, by name."""
    changed: frozenset[str] = frozenset()
    """Names of the Deployments with a template that the operator itself changes."""
    turn: Turn | None = None
    """None while there are no such Deployments."""

    def is_held(self, manifest: Manifest) -> bool:
        """Return whether the pods of a desired Deployment wait for the host's turn."""
        return waits(self.turn) and manifest["kind"] == "Deployment" and manifest["metadata"]["name"] in self.changed

    def held(self, manifest: Manifest) -> Manifest:
        """Return the manifest with the present template if its pods wait, else as it is."""
        if not self.is_held(manifest):
            return manifest
        current, metadata = self.current[manifest["metadata"]["name"]], manifest["metadata"]
        kept = {key: each for key, each in annotations_of(current).items() if key in _OF_TEMPLATE}
        others = {key: each for key, each in metadata.get("annotations", {}).items() if key not in _OF_TEMPLATE}
        spec = manifest["spec"] | {"template": current["spec"]["template"]}
        return manifest | {"metadata": metadata | {"annotations": others | kept}, "spec": spec}

    def recorded(self, manifest: Manifest) -> Manifest:
        """Return the manifest of a Deployment with its record. The hash of the manifest does not include it."""
        if manifest["kind"] != "Deployment":
            return manifest
        name = manifest["metadata"]["name"]
        began = annotations_of(self.current.get(name)).get(names.ROLLOUT_BEGAN)
        if name in self.changed and not self.is_held(manifest):
            began = timestamp(self.now)
        record = {names.HOST_INPUTS: self.inputs} | ({names.ROLLOUT_BEGAN: began} if began else {})
        annotations = manifest["metadata"].get("annotations", {}) | record
        return manifest | {"metadata": manifest["metadata"] | {"annotations": annotations}}


def staging_of(
    host: InferenceService, observed: Observed, sources: Sources, desired: Iterable[Manifest], now: datetime
) -> Staging:
    """Return the staging of the desired children of a host."""
    current = {
        child.name: manifest
        for child, manifest in observed.children.items()
        if child.kind == "Deployment" and belongs_to(manifest, host)
    }
    inputs = inputs_of(host, observed, sources)
    deployments = {each["metadata"]["name"]: each for each in desired if each["kind"] == "Deployment"}
    changed = frozenset(
        name
        for name, manifest in deployments.items()
        if name in current and _is_operators_change(manifest, current[name], inputs, host)
    )
    after = observed.rollouts.after(observed.key, now, observed.config.rollout) if changed else None
    return Staging(inputs, now, current, changed, Turn(after) if changed else None)


def inputs_of(host: InferenceService, observed: Observed, sources: Sources) -> str:
    """Return a hash of everything in a host's Deployments that users give: the host, its claims and its account."""
    account, generation = observed.account, host.metadata.generation
    claims = sorted(folder.source for folder in sources.folders if folder.kind == "claim")
    stores = [mounted_secrets(account), claims, annotated(account)[:2]]
    return digest([generation, child_labels(host), child_annotations(host), host.volume_size_limit, *stores])


def annotations_of(deployment: Manifest | None) -> Mapping[str, str]:
    """Return the annotations of a Deployment; none without one."""
    return (deployment["metadata"].get("annotations") or {}) if deployment is not None else {}


def _is_operators_change(desired: Manifest, current: Manifest, inputs: str, host: InferenceService) -> bool:
    """Return whether the template changes, and not by a user."""
    before = annotations_of(current)
    if before.get(names.TEMPLATE_HASH) == annotations_of(desired).get(names.TEMPLATE_HASH):
        return False
    if names.HOST_INPUTS not in before:  # a release before this record has made it
        return host.metadata.generation <= (host.status.observed_generation or 0)
    return before[names.HOST_INPUTS] == inputs
