"""Buckets: models are spread over `BUCKETS` clusters of Envoy by a hash of the name, for HTTP and for gRPC.

A change of one model then updates 1 of 64 clusters. Envoy computes the same hash for a request, xxHash64 of the name.
"""

from __future__ import annotations

import xxhash

BUCKETS = 64
HTTP, GRPC = "h", "g"
"""First letter of a cluster's name; the rest is the number of its bucket."""
RESOURCES = tuple(f"{kind}{bucket}" for kind in (HTTP, GRPC) for bucket in range(BUCKETS))
"""Names of all clusters, which are those of their EDS resources, too."""


def bucket_of(model: str) -> int:
    """Return the bucket of a model."""
    return xxhash.xxh64_intdigest(model.encode()) % BUCKETS


def resources_of(bucket: int) -> tuple[str, str]:
    """Return the names of a bucket's two resources."""
    return f"{HTTP}{bucket}", f"{GRPC}{bucket}"
