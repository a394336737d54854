"""Probes, hooks, environment and security settings of a container."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from manyserve.plan.rules.pod.types import (
    SUBSCRIPT,
    ConfigKey,
    Count,
    OneOf,
    Part,
    PortName,
    PortNumber,
    Positive,
    ResourceField,
    Text,
    check,
    matching,
)

HANDLERS = ("httpGet", "exec", "tcpSocket", "grpc")

_SYSCTL = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_HeaderName = Annotated[str, matching(r"[-A-Za-z0-9_]+", "the name of an HTTP header")]
_Prefix = Annotated[str, matching(r"[ -<>-~]*", "the beginning of a variable's name")]
_VariableName = Annotated[str, matching(r"[ -<>-~]+", "printable ASCII without =, and not empty")]
_FIELDS = rf"metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?)|{SUBSCRIPT}"


class _Header(Part):
    name: _HeaderName
    value: str = ""


class _HttpGet(Part):
    """A request; without a port it goes to the server's."""

    port: PortNumber | PortName | None = None
    path: str | None = None
    host: str | None = None
    scheme: Literal["HTTP", "HTTPS"] | None = None
    http_headers: list[_Header] | None = None


class _HookGet(_HttpGet):
    port: PortNumber | PortName


class _Exec(Part):
    command: Annotated[list[str], Field(min_length=1)]


class _TcpSocket(Part):
    port: PortNumber | PortName
    host: str | None = None


class _Grpc(Part):
    port: PortNumber
    service: str | None = None


class _Sleep(Part):
    seconds: Annotated[int, Field(ge=0)]


class Probe(OneOf):
    """A readiness probe. Without a handler it has the operator's."""

    choices = HANDLERS
    needs_one = False
    http_get: _HttpGet | None = None
    exec_: Annotated[_Exec | None, Field(alias="exec")] = None
    tcp_socket: _TcpSocket | None = None
    grpc: _Grpc | None = None
    initial_delay_seconds: Count | None = None
    timeout_seconds: Count | None = None
    period_seconds: Count | None = None
    success_threshold: Count | None = None
    failure_threshold: Count | None = None
    termination_grace_period_seconds: Annotated[
        int | None, check(lambda value: value is None, "it must be left out of a readiness probe")
    ] = None


class RestartingProbe(Probe):
    """A liveness or startup probe."""

    success_threshold: Annotated[int, Field(ge=0, le=1)] | None = None
    termination_grace_period_seconds: Positive | None = None


class WholeProbe(Probe):
    """A readiness probe of an init container, which is laid over no other."""

    needs_one = True
    http_get: _HookGet | None = None


class WholeRestartingProbe(RestartingProbe):
    """A liveness or startup probe of an init container."""

    needs_one = True
    http_get: _HookGet | None = None


class _Hook(OneOf):
    choices = ("exec", "httpGet", "tcpSocket", "sleep")
    exec_: Annotated[_Exec | None, Field(alias="exec")] = None
    http_get: _HookGet | None = None
    tcp_socket: _TcpSocket | None = None
    sleep: _Sleep | None = None
    grpc: Any = None
    """A handler of probes alone."""


class Lifecycle(Part):
    """Hooks after the start and before the stop."""

    post_start: _Hook | None = None
    pre_stop: _Hook | None = None


class _Key(Part):
    name: Text
    key: ConfigKey
    optional: bool | None = None


class _FieldRef(Part):
    field_path: Annotated[str, matching(_FIELDS, "a field of the pod that variables have, such as metadata.name")]


class _ResourceRef(Part):
    resource: ResourceField
    container_name: str | None = None


class _ValueFrom(OneOf):
    choices = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
    field_ref: _FieldRef | None = None
    resource_field_ref: _ResourceRef | None = None
    config_map_key_ref: _Key | None = None
    secret_key_ref: _Key | None = None


class Variable(Part):
    """An environment variable."""

    name: _VariableName
    value: str | None = None
    value_from: _ValueFrom | None = None

    @model_validator(mode="after")
    def _one_value_is_given(self) -> Self:
        if self.value and self.value_from is not None:
            raise ValueError("it must have value or valueFrom")
        return self


class _Reference(Part):
    name: Text
    optional: bool | None = None


class EnvFrom(OneOf):
    """A source of variables."""

    choices = ("configMapRef", "secretRef")
    prefix: _Prefix | None = None
    config_map_ref: _Reference | None = None
    secret_ref: _Reference | None = None


class ContainerPort(Part):
    """A port of an init container. Those of the server have rules of their own."""

    container_port: PortNumber
    host_port: PortNumber | None = None
    name: PortName | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None


class _Profile(Part):
    type: Literal["RuntimeDefault", "Unconfined", "Localhost"]
    localhost_profile: str | None = None

    @model_validator(mode="after")
    def _profile_fits(self) -> Self:
        if (self.type == "Localhost") != bool(self.localhost_profile):
            raise ValueError("it must have a localhostProfile with the type Localhost, and else none")
        return self


class _Capabilities(Part):
    add: list[str] | None = None
    drop: list[str] | None = None


class SecurityContext(Part):
    """Security settings of a container."""

    run_as_user: Count | None = None
    run_as_group: Count | None = None
    run_as_non_root: bool | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: _Capabilities | None = None
    proc_mount: Literal["Default"] | None = None
    seccomp_profile: _Profile | None = None
    app_armor_profile: _Profile | None = None


class _Sysctl(Part):
    name: Annotated[str, matching(rf"{_SYSCTL}([./]{_SYSCTL})*", "the name of a sysctl, such as net.core.somaxconn")]
    value: str


class PodSecurityContext(Part):
    """Security settings of a pod."""

    run_as_user: Count | None = None
    run_as_group: Count | None = None
    run_as_non_root: bool | None = None
    fs_group: Count | None = None
    fs_group_change_policy: Literal["OnRootMismatch", "Always"] | None = None
    supplemental_groups: list[Count] | None = None
    supplemental_groups_policy: Literal["Merge", "Strict"] | None = None
    sysctls: list[_Sysctl] | None = None
    seccomp_profile: _Profile | None = None
    app_armor_profile: _Profile | None = None
