"""The Service of a host: its name is the host's, port 80 is HTTP and 9000 is gRPC."""

from __future__ import annotations

from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.children.common import child
from manyserve.plan.observed import Manifest


def build_service(service: InferenceService) -> Manifest:
    """Return the Service."""
    host = service.metadata.name
    ports = [
        {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"},
        {"name": "grpc", "port": names.GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"},
    ]
    return child(service, "v1", "Service", host, spec={"selector": names.selector(host), "ports": ports})
