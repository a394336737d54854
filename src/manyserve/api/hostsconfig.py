"""Section `hosts` of `inferenceservice-config`: pull secrets, security contexts and NetworkPolicies of hosts' pods."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from manyserve.api.kube_model import KubeModel
from manyserve.api.networkpolicyconfig import NetworkPolicyConfig

IDS = ("runAsUser", "runAsGroup", "fsGroup")
OF_BOTH = (
    *("appArmorProfile", "runAsGroup", "runAsNonRoot", "runAsUser", "seLinuxOptions", "seccompProfile"),
    "windowsOptions",
)
OF_PODS = (
    *OF_BOTH,
    *("fsGroup", "fsGroupChangePolicy", "seLinuxChangePolicy", "supplementalGroups", "supplementalGroupsPolicy"),
    "sysctls",
)
OF_CONTAINERS = (
    *OF_BOTH,
    *("allowPrivilegeEscalation", "capabilities", "privileged", "procMount", "readOnlyRootFilesystem"),
)


def _checked(context: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    """Return the context without nulls. Raises `ValueError` for an unknown field and for an id that is no number."""
    for name, value in context.items():
        if name not in known:
            raise ValueError(f"{name} is no field of it; the known ones are {', '.join(sorted(known))}")
        if name in IDS and value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{name} must be a whole number, or null")
    return {name: value for name, value in context.items() if value is not None}


def _of_pods(context: dict[str, Any]) -> dict[str, Any]:
    return _checked(context, OF_PODS)


def _of_containers(context: dict[str, Any]) -> dict[str, Any]:
    return _checked(context, OF_CONTAINERS)


def _secret(value: Any) -> Any:
    """Return the name of a pull secret that is given as a name or as `{name: ...}`."""
    return value["name"] if isinstance(value, dict) and value.keys() == {"name"} else value


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


PodContext = Annotated[dict[str, Any], BeforeValidator(_or_empty), AfterValidator(_of_pods)]
ContainerContext = Annotated[dict[str, Any], BeforeValidator(_or_empty), AfterValidator(_of_containers)]
SecretName = Annotated[str, BeforeValidator(_secret), Field(min_length=1, max_length=253)]


class HostsConfig(KubeModel):
    """Parts of the pods of all hosts, under the fields of each host. A context without an id leaves it to others."""

    image_pull_secrets: tuple[SecretName, ...] = ()
    pod_security_context: PodContext = {"fsGroup": 65532}
    server_security_context: ContainerContext = {"runAsUser": 1000}
    """Of the model server and of init containers."""
    agent_security_context: ContainerContext = {"runAsUser": 65532}
    network_policy: NetworkPolicyConfig | None = None
    """None: the operator neither makes nor watches NetworkPolicies."""
