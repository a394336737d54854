"""Environment variables and paths by which the operator configures the router program.

`plan` sets them on the containers of a router's pod, and `router` reads them. The program has further settings, which
the operator never sets.
"""

from __future__ import annotations

ROUTER_ID = "MANYSERVE_ROUTER_ID"
RUN_DIR = "MANYSERVE_RUN_DIR"
PODS_FILE = "MANYSERVE_PODS_FILE"
SERVER_HTTP_PORT = "MANYSERVE_SERVER_HTTP_PORT"
MAX_REQUEST_BYTES = "MANYSERVE_MAX_REQUEST_BYTES"

ROUTER_PORT = 9082
"""Port of the router program: probes, metrics and status."""
ENVOY_STATUS_PORT = 9901
"""Port of Envoy's readiness and metrics."""
ENDPOINT_SECONDS = 5.0
"""Default time after the signal to stop until no Service sends new connections."""
DRAIN_SECONDS = 30.0
"""Default of the longest time for running requests after that."""
PODS_KEY = "pods.json"
"""Key of the ConfigMap, and name of the file."""
