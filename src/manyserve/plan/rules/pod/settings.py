"""Rules for settings of the server's container that must agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.server_container import SERVER_SECURITY
from manyserve.plan.children.shutdown import grace_seconds
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.paths import server_path

PORT_NAMES = ("http", "grpc", "metrics")
_SYS_ADMIN = "CAP_SYS_ADMIN"


def list_items_differ(host: InferenceService) -> Iterator[FieldError]:
    """Refuse two items of a list with the same keys, as server-side apply does."""
    predictor = host.spec.predictor
    secrets = [secret.get("name") for secret in predictor.image_pull_secrets or ()]
    constraints = [
        (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"))
        for constraint in predictor.topology_spread_constraints or ()
    ]
    lists: dict[str, Sequence[Any]] = {
        f"{server_path(host)}.env": [variable.name for variable in predictor.server.env or ()],
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
    server = host.spec.predictor.server
    parts = {
        "livenessProbe": server.liveness_probe,
        "readinessProbe": server.readiness_probe,
        "startupProbe": server.startup_probe,
        "lifecycle.postStart": (server.lifecycle or {}).get("postStart"),
        "lifecycle.preStop": (server.lifecycle or {}).get("preStop"),
    }
    for name, part in parts.items():
        for handler in ("httpGet", "tcpSocket"):
            port = _part(part, handler).get("port")
            if isinstance(port, str) and port not in PORT_NAMES:
                allowed = f"a number or one of: {', '.join(PORT_NAMES)}"
                yield FieldError(
                    f"{server_path(host)}.{name}.{handler}.port",
                    f"{quoted(port)} is not a port of the container; it must be {allowed}",
                )


def stop_hook_ends_in_time(host: InferenceService) -> Iterator[FieldError]:
    """Refuse a sleep before the stop that is longer than the grace period."""
    seconds = _part(_part(host.spec.predictor.server.lifecycle, "preStop"), "sleep").get("seconds")
    most = grace_seconds(host)
    if isinstance(seconds, int) and seconds > most:
        path = f"{server_path(host)}.lifecycle.preStop.sleep.seconds"
        yield FieldError(path, f"{seconds} is not allowed; it must be at most terminationGracePeriodSeconds, {most}")


def security_settings_agree(host: InferenceService) -> Iterator[FieldError]:
    """Refuse settings that contradict the strict defaults under them."""
    context = SERVER_SECURITY | (host.spec.predictor.server.security_context or {})
    path = f"{server_path(host)}.securityContext"
    if context.get("allowPrivilegeEscalation") is False:
        added = _part(context, "capabilities").get("add")
        wanted = "privileged" if context.get("privileged") is True else ""
        if isinstance(added, list) and _SYS_ADMIN in added:
            wanted = _SYS_ADMIN
        if wanted:
            yield FieldError(f"{path}.allowPrivilegeEscalation", f"must be true with {wanted}; unset: false")
    if context.get("runAsUser") == 0 and context.get("runAsNonRoot") is True:
        yield FieldError(f"{path}.runAsNonRoot", "must be false with runAsUser 0; unset: true")
    for index, mount in enumerate(host.spec.predictor.server.volume_mounts or ()):
        if mount.get("mountPropagation") == "Bidirectional" and context.get("privileged") is not True:
            field = f"{server_path(host)}.volumeMounts[{index}].mountPropagation"
            yield FieldError(field, "'Bidirectional' is for privileged containers; it must be HostToContainer or None")


def _part(parent: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    part = parent.get(name) if parent else None
    return part if isinstance(part, Mapping) else {}
