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
    stdin: Annotated[bool | None, Field(description="A buffer for standard input.")] = None
    stdin_once: Annotated[bool | None, Field(description="Whether standard input is closed after one use.")] = None
    tty: Annotated[bool | None, Field(description="A terminal for the container.")] = None
    volume_devices: Annotated[Opaques | None, Field(description="Block devices.")] = None


class Container(ContainerFields):
    """Container of a custom server."""

    name: Annotated[str | None, Field(description="Ignored: the server is always called kserve-container.")] = None


class PodFields(KubeModel):
    """Fields of a pod that a predictor may set."""

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
    init_containers: Annotated[
        Opaques | None, Field(description="Containers that run before the server, or beside it with restartPolicy.")
    ] = None
    host_aliases: Annotated[Opaques | None, Field(description="Lines for /etc/hosts.")] = None
    dns_policy: Annotated[str | None, Field(description="DNS policy of the pods.")] = None
    dns_config: Annotated[RawObject | None, Field(description="DNS settings of the pods.")] = None
    readiness_gates: Annotated[Opaques | None, Field(description="Further conditions of a ready pod.")] = None
    hostname: Annotated[str | None, Field(description="Host name of the pods.")] = None
    subdomain: Annotated[str | None, Field(description="Subdomain of the pods.")] = None
    set_hostname_as_fqdn: Annotated[
        bool | None, Field(alias="setHostnameAsFQDN", description="Use of the full domain name as host name.")
    ] = None


class FixedPodFields(KubeModel):
    """Fields of a pod that a predictor may repeat with the value that all pods have."""

    automount_service_account_token: Annotated[
        bool | None, Field(description="Whether pods get the token of their ServiceAccount; only false is supported.")
    ] = None
    enable_service_links: Annotated[
        bool | None, Field(description="Variables for the Services of the namespace; only false is supported.")
    ] = None
    host_ipc: Annotated[
        bool | None, Field(alias="hostIPC", description="Use of the node's IPC namespace; only false is supported.")
    ] = None
    host_network: Annotated[bool | None, Field(description="Use of the node's network; only false is supported.")] = (
        None
    )
    host_pid: Annotated[
        bool | None, Field(alias="hostPID", description="Use of the node's process namespace; only false is supported.")
    ] = None
    share_process_namespace: Annotated[
        bool | None, Field(description="One process namespace for all containers; only false is supported.")
    ] = None
    restart_policy: Annotated[
        str | None, Field(description="When containers are started again; only Always is supported.")
    ] = None
    service_account: Annotated[str | None, Field(description="Former name of serviceAccountName.")] = None
