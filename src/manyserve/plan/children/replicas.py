"""Scaling mode of a host: the owner of its number of replicas, and the number while the host owns it.

An annotation of the Deployment records the mode and `minReplicas`. A host that becomes fixed without another
`minReplicas` keeps the pods that run. The record then has their number, until somebody scales down.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from manyserve.api.inferenceservice import EXTERNAL, HPA, MODEL_METRICS, NONE, InferenceService
from manyserve.api.names import MANAGER, REPLICAS
from manyserve.plan.observed import Manifest, Observed
from manyserve.redaction import one_line

_RECORD = re.compile(
    r"(?P<mode>fixed|autoscaled|traffic|external|none)/(?P<least>[0-9]{1,4})(?:/(?P<kept>[0-9]{1,4}))?"
)
_CONTROLLERS = ("kube-controller-manager", MANAGER)
"""Managers that are no owner of the replicas: the controller of autoscalers, which are named themselves, and we."""


class ScalingMode(StrEnum):
    """Owner of a host's number of replicas."""

    FIXED = "fixed"
    """The host: `minReplicas`."""
    AUTOSCALED = "autoscaled"
    """The host's own HorizontalPodAutoscaler."""
    TRAFFIC = "traffic"
    """The operator, by the traffic of all models."""
    EXTERNAL = "external"
    """Somebody else, by the annotation or by another HorizontalPodAutoscaler of the Deployment."""
    NONE = "none"
    """Nobody: the number is set at the creation of the Deployment only."""


_OWNED = (ScalingMode.FIXED, ScalingMode.TRAFFIC)
"""Modes in which the operator applies `replicas`."""


class Record(NamedTuple):
    """Scaling of a Deployment, in its annotation."""

    mode: ScalingMode
    least: int
    """`minReplicas` of the host."""
    kept: int | None = None
    """Replicas that a fixed host keeps above `minReplicas`."""

    def __str__(self) -> str:
        return "/".join(str(each) for each in self if each is not None)


def is_autoscaled(host: InferenceService) -> bool:
    """Return whether the host asks for an autoscaler: `maxReplicas` is above `minReplicas`."""
    if host.spec.predictor.is_heterogeneous:
        return False
    return host.autoscaler_class == HPA and (host.spec.predictor.max_replicas or 0) > least_replicas(host)


def is_scaled_on_traffic(host: InferenceService) -> bool:
    """Return whether a homogeneous host asks for replicas by the traffic of its models."""
    return is_autoscaled(host) and host.spec.predictor.scale_metric in MODEL_METRICS


def least_replicas(host: InferenceService) -> int:
    """Return `minReplicas` or its default."""
    return host.spec.predictor.min_replicas or 1


def scaling_mode(host: InferenceService, autoscalers: Sequence[str]) -> ScalingMode:
    """Return the scaling mode; `autoscalers` are the others that target the Deployment.

    The pods of a heterogeneous host hold models of their own, so that nobody else can scale them.
    """
    if host.spec.predictor.is_heterogeneous:
        return ScalingMode.FIXED
    if autoscalers or host.autoscaler_class == EXTERNAL:
        return ScalingMode.EXTERNAL
    if host.autoscaler_class == NONE:
        return ScalingMode.NONE
    if is_scaled_on_traffic(host):
        return ScalingMode.TRAFFIC
    return ScalingMode.AUTOSCALED if is_autoscaled(host) else ScalingMode.FIXED


def replicas_of_deployment(
    host: InferenceService, current: Manifest | None, autoscalers: Sequence[str], decided: int | None = None
) -> tuple[Manifest, Record]:
    """Return the field `replicas` of the Deployment's spec, or no field for another owner, and the record.

    `decided` is the number of the last decision by the traffic of the models.
    """
    mode, least = scaling_mode(host, autoscalers), least_replicas(host)
    if mode == ScalingMode.TRAFFIC:
        present = least if current is None else replicas_number(current)
        number = bounded_replicas(host, present if decided is None else decided)
        return {"replicas": number}, Record(mode, least)
    if mode == ScalingMode.FIXED and current is not None:
        number = max(least, _kept(current, least))
        return {"replicas": number}, Record(mode, least, number if number > least else None)
    is_set = mode == ScalingMode.FIXED or (mode != ScalingMode.AUTOSCALED and current is None)
    return ({"replicas": least} if is_set else {}), Record(mode, least)


def bounded_replicas(host: InferenceService, number: int) -> int:
    """Return the number, or the nearest one from `minReplicas` to `maxReplicas`."""
    least = least_replicas(host)
    return min(max(number, least), max(host.spec.predictor.max_replicas or least, least))


def recorded(deployment: Manifest) -> Record | None:
    """Return the record of a Deployment, or None without a valid one."""
    text = (deployment["metadata"].get("annotations") or {}).get(REPLICAS, "")
    match = _RECORD.fullmatch(text)
    if match is None:
        return None
    kept = int(match["kept"]) if match["kept"] else None
    return Record(ScalingMode(match["mode"]), int(match["least"]), kept)


def becomes_owned(desired: Manifest, current: Manifest) -> bool:
    """Return whether an apply makes us the owner of the replicas: their number may change until then."""
    before = recorded(current)
    return "replicas" in desired["spec"] and (before is None or before.mode not in _OWNED)


def _kept(current: Manifest, least: int) -> int:
    """Return the replicas that a host with a fixed number keeps, or 0."""
    before, number = recorded(current), replicas_number(current)
    if before is None:
        return number
    if before.least != least:  # the user has given another number
        return 0
    if before.mode != ScalingMode.FIXED:
        return number
    return min(before.kept, number) if before.kept is not None else 0


def replicas_number(deployment: Manifest) -> int:
    """Return the wanted replicas of a Deployment."""
    return int((deployment.get("spec") or {}).get("replicas", 1))


def replica_owners(observed: Observed, deployment: Manifest) -> tuple[str, ...]:
    """Return the other owners of the replicas, with names for people."""
    if observed.autoscalers:
        return tuple(f"HorizontalPodAutoscaler {name}" for name in observed.autoscalers)
    entries = deployment["metadata"].get("managedFields") or ()
    managers = {one_line(each.get("manager", "")) for each in entries if owns_replicas(each)}
    return tuple(sorted(managers.difference(_CONTROLLERS)))


def owns_replicas(entry: Manifest) -> bool:
    """Return whether an entry of `managedFields` has the field `spec.replicas`."""
    return "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})


def without_our_replicas(entries: Sequence[Manifest]) -> list[Manifest]:
    """Return `managedFields` in which our apply does not own `spec.replicas`."""
    return [_without_replicas(each) if _is_our_apply(each) and owns_replicas(each) else each for each in entries]


def _is_our_apply(entry: Manifest) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")


def _without_replicas(entry: dict[str, Any]) -> Manifest:
    fields = entry["fieldsV1"]
    spec = {key: each for key, each in fields["f:spec"].items() if key != "f:replicas"}
    return entry | {"fieldsV1": fields | {"f:spec": spec}}
