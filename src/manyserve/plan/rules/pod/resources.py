"""Rules for extended resources and huge pages, which Kubernetes does not overcommit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.pod import Resources
from manyserve.api.quantity import Memory, parse_quantity
from manyserve.plan.rules.fields import FieldError, quoted
from manyserve.plan.rules.pod.containers import containers
from manyserve.plan.rules.pod.types import is_qualified

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES = "hugepages-"
_NATIVE = "kubernetes.io/"


def resources_have_names_of_kubernetes(host: InferenceService) -> Iterator[FieldError]:
    """Refuse names that are no resource of a container, and claims, since a host's pods have none."""
    for path, resources in all_resources(host):
        for part, values in (("limits", resources.limits or {}), ("requests", resources.requests or {})):
            for name in values:
                if not _is_resource(name):
                    allowed = f"{', '.join(_STANDARD)}, or a name with a domain, such as nvidia.com/gpu"
                    yield FieldError(f"{path}.{part}", f"{quoted(name)} is not a resource; it must be {allowed}")
        if resources.claims:
            yield FieldError(f"{path}.claims", "no claim is in the pods of a host; it must be left out")


def extended_resources_are_not_overcommitted(host: InferenceService) -> Iterator[FieldError]:
    """Require equal requests and limits of extended resources, such as GPUs, and whole numbers."""
    for path, resources in all_resources(host):
        yield from _overcommitted(path, resources)


def _overcommitted(path: str, resources: Resources) -> Iterator[FieldError]:
    limits, requests = resources.limits or {}, resources.requests or {}
    for name in filter(_is_extended, limits | requests):
        limit, request = _number(limits.get(name)), _number(requests.get(name))
        field = f"{path}.{'limits' if name in limits else 'requests'}.{name[:64]}"
        number = limit if name in limits else request
        if number is not None and "/" in name and number != number.to_integral_value():
            yield FieldError(field, f"{quoted(limits.get(name, requests.get(name)))} must be a whole number")
        elif name not in limits:
            yield FieldError(field, f"is not in limits; requests and limits of {name[:64]} must be equal")
        elif limit is not None and request is not None and request < limit:
            yield FieldError(
                f"{path}.requests.{name[:64]}",
                f"{quoted(requests[name])} is less than the limit; it must be {quoted(limits[name])}, too",
            )


def all_resources(host: InferenceService) -> Iterator[tuple[str, Resources]]:
    """Yield path and resources of each container."""
    for container in containers(host):
        yield f"{container.path}.resources", container.fields.resources or Resources()


def _is_resource(name: str) -> bool:
    if "/" not in name:
        return name in _STANDARD or name.startswith(_HUGE_PAGES)
    return is_qualified(name) and (_NATIVE in name or not name.startswith("requests."))


def _is_extended(name: str) -> bool:
    return name.startswith(_HUGE_PAGES) or ("/" in name and _NATIVE not in name)


def _number(value: Memory | None) -> Decimal | None:
    try:
        return parse_quantity(value)
    except ValueError:
        return None
