"""Configuration of the routers of heterogeneous hosts: the key `router` of `inferenceservice-config`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from manyserve.api.kube_model import KubeModel
from manyserve.api.quantity import Memory, format_memory, parse_memory

ENVOY_IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.36-latest"
"""Default image of Envoy. Releases before 1.36 cannot spread models over clusters by the hash of their names."""
MOST_REPLICAS = 10
"""Routers of one host. Each of them follows each agent, and an agent knows 64 routers at most."""

MOST_REQUEST_BYTES = 2**32 - 1
"""Largest limit of bytes in the configuration of Envoy, which has 32 bits for it."""


def _bytes(value: Memory) -> Memory:
    """Return the quantity. Raises `ValueError` for one that is not a whole number of bytes above 0, or too large."""
    if parse_memory(value) > MOST_REQUEST_BYTES:
        raise ValueError(f"{value} is too large; it must be less than {format_memory(MOST_REQUEST_BYTES + 1)}")
    return value


class RouterConfig(KubeModel):
    """Images, number and resources of the routers. Without `image` a heterogeneous host waits."""

    image: str | None = None
    """Image of the router program: that of the operator."""
    image_pull_policy: str | None = None
    envoy_image: str = ENVOY_IMAGE
    replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] = 2
    concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    """Workers of each Envoy, which take about 100 MB each at 10,000 models with two copies."""
    max_request_bytes: Annotated[Memory, AfterValidator(_bytes)] = "64Mi"
    """Largest body of an HTTP request, and largest first message of a gRPC request."""
    cpu_request: Memory = "100m"
    memory_request: Memory = "128Mi"
    cpu_limit: Memory = "1"
    memory_limit: Memory = "1Gi"
    """Resources of Envoy."""
    program_cpu_request: Memory = "50m"
    program_memory_request: Memory = "96Mi"
    program_cpu_limit: Memory = "1"
    program_memory_limit: Memory = "256Mi"
    """Resources of the router program."""
