"""Rules for settings of a container that must agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.shutdown import grace_seconds
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.pod.containers import JudgedContainer, containers

_SYS_ADMIN = "CAP_SYS_ADMIN"


def list_items_differ(host: InferenceService) -> Iterator[FieldError]:
    """Refuse two items of a list with the same keys, as server-side apply does."""
    predictor = host.spec.predictor
    secrets = [secret.get("name") for secret in predictor.image_pull_secrets or ()]
    constraints = [
        (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"))
        for constraint in predictor.topology_spread_constraints or ()
    ]
    env = {f"{each.path}.env": [variable.name for variable in each.fields.env or ()] for each in containers(host)}
    lists: dict[str, Sequence[Any]] = env | {
        "spec.predictor.imagePullSecrets": secrets,
        "spec.predictor.topologySpreadConstraints": constraints,
    }
    for path, keys in lists.items():
        for index, key in enumerate(keys):
            if key in keys[:index]:
                clause = quoted(key) if isinstance(key, str) else "the key"
                yield FieldError(f"{path}[{index}]", f"{clause} is given twice; it must be given once")


def probes_name_ports_of_the_container(host: InferenceService) -> Iterator[FieldError]:
    """Refuse the name of a port that the container does not have."""
    for container in containers(host):
        for path, port in _named_ports(container):
            if port not in container.port_names:
                allowed = (
                    f"a number or one of: {', '.join(container.port_names)}" if container.port_names else "a number"
                )
                yield FieldError(path, f"{quoted(port)} is not a port of the container; it must be {allowed}")


def _named_ports(container: JudgedContainer) -> Iterator[tuple[str, str]]:
    """Yield the ports of probes and hooks that are given by name, with their paths."""
    fields = container.fields
    parts = {
        "livenessProbe": fields.liveness_probe,
        "readinessProbe": fields.readiness_probe,
        "startupProbe": fields.startup_probe,
        "lifecycle.postStart": (fields.lifecycle or {}).get("postStart"),
        "lifecycle.preStop": (fields.lifecycle or {}).get("preStop"),
    }
    for name, part in parts.items():
        for handler in ("httpGet", "tcpSocket"):
            port = _part(part, handler).get("port")
            if isinstance(port, str):
                yield f"{container.path}.{name}.{handler}.port", port


def stop_hook_ends_in_time(host: InferenceService) -> Iterator[FieldError]:
    """Refuse a sleep before the stop that is longer than the grace period."""
    most = grace_seconds(host)
    for each in containers(host):
        seconds = _part(_part(each.fields.lifecycle, "preStop"), "sleep").get("seconds")
        if isinstance(seconds, int) and seconds > most:
            path = f"{each.path}.lifecycle.preStop.sleep.seconds"
            sentence = f"{seconds} is not allowed; it must be at most terminationGracePeriodSeconds, {most}"
            yield FieldError(path, sentence)


def security_settings_agree(host: InferenceService) -> Iterator[FieldError]:
    """Refuse settings that contradict the strict defaults under them."""
    for container in containers(host):
        yield from _security_errors(container)


def _security_errors(container: JudgedContainer) -> Iterator[FieldError]:
    context = {**container.security, **(container.fields.security_context or {})}
    path = f"{container.path}.securityContext"
    if context.get("allowPrivilegeEscalation") is False:
        added = _part(context, "capabilities").get("add")
        wanted = "privileged" if context.get("privileged") is True else ""
        if isinstance(added, list) and _SYS_ADMIN in added:
            wanted = _SYS_ADMIN
        if wanted:
            yield FieldError(f"{path}.allowPrivilegeEscalation", f"must be true with {wanted}; unset: false")
    if context.get("runAsUser") == 0 and context.get("runAsNonRoot") is True:
        yield FieldError(f"{path}.runAsNonRoot", "must be false with runAsUser 0; unset: true")
    for index, mount in enumerate(container.fields.volume_mounts or ()):
        if mount.get("mountPropagation") == "Bidirectional" and context.get("privileged") is not True:
            field = f"{container.path}.volumeMounts[{index}].mountPropagation"
            yield FieldError(field, "'Bidirectional' is for privileged containers; it must be HostToContainer or None")


def _part(parent: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    part = parent.get(name) if parent else None
    return part if isinstance(part, Mapping) else {}
