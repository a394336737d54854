"""Rules for the fields of the pod, beside the server's container.

Kubernetes refuses some values only when it creates a pod. Others would undo what the operator promises of all pods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import AGENT_CONTAINER, SERVER_CONTAINER
from manyserve.api.pod import FixedPodFields
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.pod.network import is_address

LABEL_SENTENCE = "must be a DNS label: at most 63 small letters, digits and '-', and a letter or a digit at both ends"
DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ATTRIBUTES = {field.alias: name for name, field in FixedPodFields.model_fields.items()}
_TAKEN = (SERVER_CONTAINER, AGENT_CONTAINER)


class Fixed(NamedTuple):
    """The only allowed value of a field, and the reason."""

    value: bool | str
    reason: str


_NODE = "pods of a host have no part in the node's namespaces"
FIXED: dict[str, Fixed] = {
    "automountServiceAccountToken": Fixed(value=False, reason="no pod of a host gets the token of its ServiceAccount"),
    "enableServiceLinks": Fixed(
        value=False, reason="variables named after Services could change settings of the agent or the server"
    ),
    "hostIPC": Fixed(value=False, reason=_NODE),
    "hostNetwork": Fixed(value=False, reason=_NODE),
    "hostPID": Fixed(value=False, reason=_NODE),
    "shareProcessNamespace": Fixed(value=False, reason="code of a model could reach the agent, which has credentials"),
    "restartPolicy": Fixed("Always", "Kubernetes allows no other for the pods of a Deployment"),
}
"""Fields that a user may repeat and not change. docs/compatibility.md lists the same rows."""


def fixed_fields_are_unchanged(host: InferenceService) -> Iterator[FieldError]:
    """Refuse other values for the fields that are the same in all pods."""
    for name, (allowed, reason) in FIXED.items():
        value = getattr(host.spec.predictor, _ATTRIBUTES[name])
        if value not in (None, allowed):
            shown = quoted(allowed).strip("'")
            sentence = f"{quoted(value)} is not supported; it must be {shown}: {reason}"
            yield FieldError(f"spec.predictor.{name}", sentence)


def former_service_account_is_the_same(host: InferenceService) -> Iterator[FieldError]:
    """Refuse the former name of `serviceAccountName` with another value."""
    predictor = host.spec.predictor
    if predictor.service_account not in (None, "", predictor.service_account_name):
        sentence = f"{quoted(predictor.service_account)} is not supported; it must be left out: use serviceAccountName"
        yield FieldError("spec.predictor.serviceAccount", sentence)


def init_containers_are_complete(host: InferenceService) -> Iterator[FieldError]:
    """Require a free name and an image for each init container."""
    names = {*_TAKEN}
    for index, container in enumerate(host.spec.predictor.init_containers or ()):
        path, name = f"spec.predictor.initContainers[{index}]", container.get("name")
        if not isinstance(name, str) or not _is_label(name):
            yield FieldError(f"{path}.name", f"{quoted(name)} is not allowed; it {LABEL_SENTENCE}")
        elif name in names:
            yield FieldError(f"{path}.name", f"{quoted(name)} is taken; it must be the name of no other container")
        else:
            names.add(name)
        if not container.get("image") or not isinstance(container["image"], str):
            yield FieldError(f"{path}.image", "is missing; it must name an image")


def dns_is_usable(host: InferenceService) -> Iterator[FieldError]:
    """Require a DNS policy of Kubernetes, with name servers where it has none of its own."""
    policy, config = host.spec.predictor.dns_policy, host.spec.predictor.dns_config or {}
    if policy is not None and policy not in DNS_POLICIES:
        sentence = f"{quoted(policy)} is not allowed; it must be one of: {', '.join(DNS_POLICIES)}"
        yield FieldError("spec.predictor.dnsPolicy", sentence)
    if policy == "None" and not config.get("nameservers"):
        yield FieldError("spec.predictor.dnsConfig.nameservers", "is missing; dnsPolicy None must have at least one")


def hostname_is_a_label(host: InferenceService) -> Iterator[FieldError]:
    """Require DNS labels as host name and subdomain."""
    predictor = host.spec.predictor
    for field, value in (("hostname", predictor.hostname), ("subdomain", predictor.subdomain)):
        if value and not _is_label(value):
            yield FieldError(f"spec.predictor.{field}", f"{quoted(value)} is not allowed; it {LABEL_SENTENCE}")


def host_aliases_have_addresses(host: InferenceService) -> Iterator[FieldError]:
    """Require an IP address in each line for /etc/hosts."""
    for index, alias in enumerate(host.spec.predictor.host_aliases or ()):
        ip = alias.get("ip")
        if not (isinstance(ip, str) and is_address(ip)):
            path = f"spec.predictor.hostAliases[{index}].ip"
            yield FieldError(path, f"{quoted(ip)} is not allowed; it must be an IP address")


def _is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


RULES: tuple[Callable[[InferenceService], Iterator[FieldError]], ...] = (
    fixed_fields_are_unchanged,
    former_service_account_is_the_same,
    init_containers_are_complete,
    dns_is_usable,
    hostname_is_a_label,
    host_aliases_have_addresses,
)
