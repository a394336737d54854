"""What the pods of a host and their agents say, read plainly.

A replica counts while its pod is ready and not on its way out. A model is loaded on it when its agent says
so for exactly what is asked for now, and the server behind the agent answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manyserve.api.agentreport import AgentReport, ModelReport, ModelState
from manyserve.plan.observed import Manifest, Observed

_BENIGN = ("ContainerCreating", "PodInitializing")


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

    def model(self, name: str, digest: str) -> ModelReport | None:
        """Return what the agent says of the model, if it speaks of what is asked for now."""
        said = self.report.models.get(name) if self.report else None
        return said if said is not None and said.digest == digest else None

    def loaded(self, name: str, digest: str) -> ModelReport | None:
        """Return what the agent says of the model, if it answers on this replica."""
        said = self.model(name, digest)
        answers = said is not None and said.state == ModelState.LOADED and self.report and self.report.server_ready
        return said if answers else None


def replicas_of(observed: Observed) -> tuple[Replica, ...]:
    """Return the pods that are not on their way out, sorted by name."""
    staying = (pod for pod in observed.pods if not pod["metadata"].get("deletionTimestamp"))
    found = (_replica(pod, observed.agents.get(pod["metadata"]["uid"])) for pod in staying)
    return tuple(sorted(found, key=lambda each: each.name))


def _replica(pod: Manifest, report: AgentReport | None) -> Replica:
    status, metadata = pod.get("status", {}), pod["metadata"]
    conditions = status.get("conditions") or ()
    return Replica(
        name=metadata["name"],
        uid=metadata["uid"],
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
        running=status.get("phase") == "Running",
        annotations=metadata.get("annotations") or {},
        report=report,
        claims=mounted_claims(pod.get("spec", {})),
    )


def mounted_claims(pod_spec: Manifest) -> frozenset[str]:
    """Return the PersistentVolumeClaims that a pod mounts."""
    sources = (volume.get("persistentVolumeClaim") for volume in pod_spec.get("volumes") or ())
    return frozenset(each["claimName"] for each in sources if each)


def pod_problem(pods: Sequence[Manifest]) -> tuple[str, str] | None:
    """Return the reason and the sentence of the first pod that cannot start, or None."""
    for pod in pods:
        trouble = _unschedulable(pod) or _stuck_container(pod)
        if trouble and not pod["metadata"].get("deletionTimestamp"):
            return trouble[0], f"pod {pod['metadata']['name']}: {trouble[1]}"
    return None


def _unschedulable(pod: Manifest) -> tuple[str, str] | None:
    for each in pod.get("status", {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return each.get("reason") or "Unschedulable", each.get("message") or "it cannot be scheduled"
    return None


def _stuck_container(pod: Manifest) -> tuple[str, str] | None:
    for each in pod.get("status", {}).get("containerStatuses") or ():
        waiting = each.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in _BENIGN:
            reason = waiting.get("reason") or "Waiting"
            return reason, f"container {each['name']} is waiting: {waiting.get('message') or reason}"
    return None
