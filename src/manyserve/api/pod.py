"""Fields of the container and of the pod that a predictor may set.

They are copied to the Deployment. Parts with deep checks in Kubernetes, such as an affinity or a volume, are raw:
`plan.rules.pod` has the rules of Kubernetes for them. If the API server still refuses the Deployment, its message
becomes the host's condition.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from manyserve.api.kube_model import KubeModel, RawObject
from manyserve.api.quantity import Quantity
from manyserve.api.unsupported import properties

Opaques = tuple[RawObject, ...]


class Resources(KubeModel):
    """Requests and limits of a container."""

    limits: Annotated[dict[str, Quantity] | None, Field(description="Limits by resource.")] = None
    requests: Annotated[dict[str, Quantity] | None, Field(description="Requests by resource.")] = None
    claims: Annotated[Opaques | None, Field(description="Resource claims of the pod that it uses.")] = None


class EnvVar(KubeModel):
    """One environment variable."""

    name: Annotated[str, Field(description="Name of the variable.")]
    value: Annotated[str | None, Field(description="Value.")] = None
    value_from: Annotated[RawObject | None, Field(description="Source of the value.")] = None


class ContainerFields(KubeModel):
    """Fields of a container that a predictor may set."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["properties"].update(properties("server")))

    image: Annotated[str | None, Field(description="Image; unset: the configured one.")] = None
    image_pull_policy: Annotated[str | None, Field(description="When the image is pulled.")] = None
    command: Annotated[tuple[str, ...] | None, Field(description="Entry point.")] = None
    args: Annotated[
        tuple[str, ...] | None,
        Field(description="Arguments, after those of the operator."),
    ] = None
    env: Annotated[tuple[EnvVar, ...] | None, Field(description="Environment variables.")] = None
    env_from: Annotated[Opaques | None, Field(description="Sources of environment variables.")] = None
    working_dir: Annotated[str | None, Field(description="Working directory.")] = None
    ports: Annotated[
        Opaques | None, Field(description="Ports: one for HTTP, and those for gRPC (9000) and metrics (8002).")
    ] = None
    resources: Annotated[
        Resources | None,
        Field(description="Requests and limits; unset: cpu 1, memory 2Gi. limits.memory bounds the models' sum."),
    ] = None
    volume_mounts: Annotated[Opaques | None, Field(description="Volumes of the pod to mount.")] = None
    liveness_probe: Annotated[RawObject | None, Field(description="Liveness probe, laid over the operator's.")] = None
    readiness_probe: Annotated[RawObject | None, Field(description="Readiness probe, laid over the operator's.")] = None
    startup_probe: Annotated[RawObject | None, Field(description="Startup probe, laid over the operator's.")] = None
    lifecycle: Annotated[RawObject | None, Field(description="Hooks after start and before stop.")] = None
    security_context: Annotated[
        RawObject | None, Field(description="Security settings, which override the strict defaults.")
    ] = None


class Container(ContainerFields):
    """Container of a custom server."""

    name: Annotated[str | None, Field(description="Ignored: the server is always called kserve-container.")] = None


class PodFields(KubeModel):
    """Fields of a pod that a predictor may set."""

    automount_service_account_token: Annotated[
        bool | None, Field(description="Whether pods get the token of their ServiceAccount; only false is supported.")
    ] = None
    service_account_name: Annotated[str | None, Field(description="Service account of the pods.")] = None
    node_selector: Annotated[
        dict[str, str] | None,
        Field(description="Labels that a node must have."),
    ] = None
    tolerations: Annotated[Opaques | None, Field(description="Taints that the pods tolerate.")] = None
    affinity: Annotated[RawObject | None, Field(description="Affinity and anti-affinity of the pods.")] = None
    topology_spread_constraints: Annotated[Opaques | None, Field(description="Topology spread constraints.")] = None
    image_pull_secrets: Annotated[Opaques | None, Field(description="Secrets for pulling images.")] = None
    volumes: Annotated[Opaques | None, Field(description="Further volumes.")] = None
    priority_class_name: Annotated[str | None, Field(description="Priority class.")] = None
    runtime_class_name: Annotated[str | None, Field(description="Runtime class.")] = None
    scheduler_name: Annotated[str | None, Field(description="Scheduler.")] = None
    security_context: Annotated[
        RawObject | None, Field(description="Security settings of the pod, which override the strict defaults.")
    ] = None
    termination_grace_period_seconds: Annotated[int | None, Field(description="Seconds for a graceful stop.")] = None
