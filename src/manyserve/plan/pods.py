"""Replicas: the pods of a host with the reports of their agents.

A replica counts while its pod is ready and is not being deleted. A model is loaded on a replica when its agent reports
so for the digest that is desired now, and the model server answers. A model answers with any version of its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.api.names import SHARD_DIGITS, SHARD_LABEL
from manyserve.plan.true_replicas import Manifest, template_hash


@dataclass(frozen=True)
class Replica:
    """One pod of the host with its agent's report, if the agent can be reached."""

    name: str
    uid: str
    ready: bool
    running: bool
    annotations: dict[str, str]
    report: AgentReport | None
    claims: frozenset[str] = frozenset()
    """The PersistentVolumeClaims that the pod mounts."""
    revision: str = ""
    """The Deployment's hash of the pod template."""
    shard: int = 0
    """Index of its shard; 0 on a homogeneous host."""

    @property
    def config(self) -> str | None:
        """Hash of the `models.json` in force; None when it is unknown, or another one cannot be read."""
        return None if self.report is None or self.report.config_error else self.report.config

    @property
    def in_service(self) -> bool:
        """Whether the pod is ready, or its agent says so: on a busy node a probe may be late."""
        return self.ready or (self.report is not None and self.report.settled and self.report.server_ready)

    @property
    def answering(self) -> frozenset[str]:
        """Names of the models that answer on the pod."""
        return self.report.answering if self.report else frozenset()

    def model(self, name: str, digest: str) -> ModelReport | None:
        """Return the agent's report about the model, if it is about this digest."""
        report = self.report.models.get(name) if self.report else None
        return report if report is not None and report.digest == digest else None

    def loaded(self, name: str, digest: str) -> ModelReport | None:
        """Return the agent's report about the model, if this digest of it is loaded and the server answers."""
        if self.report is None or not self.report.server_ready:
            return None
        report = self.model(name, digest)
        return report if report is not None and report.state is ModelState.LOADED else None


def replicas_of(pods: Iterable[Manifest], reports: Mapping[str, AgentReport]) -> tuple[Replica, ...]:
    """Return the replicas with pods that are not being deleted, sorted by name; reports are by the uid of their pod."""
    remaining = (pod for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    replicas = (_replica(pod, reports.get(pod["metadata"]["uid"])) for pod in remaining)
    return tuple(sorted(replicas, key=lambda replica: replica.name))


def not_unloaded(replicas: Sequence[Replica]) -> dict[str, str]:
    """Return the sentence by name, for each removed model that the server of a replica does not unload."""
    sentences: dict[str, str] = {}
    for replica in replicas:
        for name, reason in (replica.report.not_unloaded if replica.report else {}).items():
            sentences.setdefault(name, f"{replica.name}: {reason}")
    return sentences


def stuck_loads(replicas: Sequence[Replica]) -> dict[str, tuple[str, ...]]:
    """Return the models with loads that never finish, by pod, for each server that must be restarted."""
    names = {replica.name: replica.report.stuck_loads for replica in replicas if replica.report}
    return {pod: stuck for pod, stuck in names.items() if stuck}


def _replica(pod: Manifest, report: AgentReport | None) -> Replica:
    status, metadata = pod.get("status", {}), pod["metadata"]
    return Replica(
        name=metadata["name"],
        uid=metadata["uid"],
        ready=is_ready(pod),
        running=status.get("phase") == "Running",
        annotations=metadata.get("annotations") or {},
        report=report,
        claims=mounted_claims(pod.get("spec", {})),
        revision=template_hash(pod),
        shard=shard_of(pod) or 0,
    )


def shard_of(manifest: Manifest) -> int | None:
    """Return the index of a shard in the label of a pod or a Deployment, or None without a valid one."""
    text = (manifest["metadata"].get("labels") or {}).get(SHARD_LABEL, "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= SHARD_DIGITS else None


def is_ready(pod: Manifest) -> bool:
    """Return whether the pod has the condition `Ready`."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def mounted_claims(pod_spec: Manifest) -> frozenset[str]:
    """Return the PersistentVolumeClaims that a pod mounts."""
    sources = (volume.get("persistentVolumeClaim") for volume in pod_spec.get("volumes") or ())
    return frozenset(each["claimName"] for each in sources if each)
