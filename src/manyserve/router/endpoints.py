"""EDS resources: the endpoints of one cluster, with the models of each endpoint as metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2

from manyserve.router.buckets import HTTP
from manyserve.router.envoy.clusters import ACTIVATOR, METADATA, MODEL_KEY, ROLE_KEY

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Ports of the endpoints: those of the model servers, and those of the activator."""

    server_http: int
    server_grpc: int
    activator_http: int
    activator_grpc: int


def load_assignment(name: str, endpoints: Mapping[str, Collection[str]], ports: Ports) -> bytes:
    """Return the serialized endpoints of a cluster: those of the models by address, and the activator."""
    server, activator = (
        (ports.server_http, ports.activator_http) if name[0] == HTTP else (ports.server_grpc, ports.activator_grpc)
    )
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    group = assignment.endpoints.add()
    for address in sorted(endpoints):
        models = _add(group, address, server)[MODEL_KEY].list_value
        for model in sorted(endpoints[address]):
            models.values.add().string_value = model
    _add(group, LOOPBACK, activator)[ROLE_KEY].string_value = ACTIVATOR
    return bytes(assignment.SerializeToString(deterministic=True))


def _add(group: endpoint_components_pb2.LocalityLbEndpoints, address: str, port: int):  # type: ignore[no-untyped-def]
    """Add an endpoint, and return its metadata."""
    added = group.lb_endpoints.add()
    socket = added.endpoint.address.socket_address
    socket.address, socket.port_value = address, port
    return added.metadata.filter_metadata[METADATA].fields
