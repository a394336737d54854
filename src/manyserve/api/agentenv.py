"""Environment variables by which the operator configures the agent: the only place with their names.

`plan` sets them on the agent's container, and `agent` reads them. The agent has further settings, which the operator
never sets.
"""

from __future__ import annotations

# the volume, the model server and models.json
STORE_DIR = "MANYSERVE_STORE_DIR"
CONFIG_FILE = "MANYSERVE_CONFIG_FILE"
VOLUME_BYTES = "MANYSERVE_VOLUME_BYTES"
SERVER_URL = "MANYSERVE_SERVER_URL"
SERVER_DIALECT = "MANYSERVE_SERVER_DIALECT"
SERVER_KEY = "MANYSERVE_SERVER_KEY"
"""The model server's container has this variable too."""
ALLOWED_BACKENDS = "MANYSERVE_ALLOWED_BACKENDS"
ROUTERS = "MANYSERVE_ROUTERS"  # true on heterogeneous hosts: an unload waits for the routers

# gs://
GCS_ENDPOINT = "MANYSERVE_GCS_ENDPOINT"
GCS_KEY_NAME = "MANYSERVE_GCS_KEY_NAME"

# s3://
S3_ENDPOINT = "MANYSERVE_S3_ENDPOINT"
S3_CHECK_ENDPOINT = "MANYSERVE_S3_CHECK_ENDPOINT"
S3_REGION = "MANYSERVE_S3_REGION"
S3_VIRTUAL_HOST = "MANYSERVE_S3_VIRTUAL_HOST"
S3_VERIFY_TLS = "MANYSERVE_S3_VERIFY_TLS"
S3_CA_FILE = "MANYSERVE_S3_CA_FILE"
S3_ANONYMOUS = "MANYSERVE_S3_ANONYMOUS"
S3_ACCESS_KEY_NAME = "MANYSERVE_S3_ACCESS_KEY_NAME"
S3_SECRET_KEY_NAME = "MANYSERVE_S3_SECRET_KEY_NAME"  # noqa: S105 - the name of a variable

# Azure and hf://
AZURE_ENDPOINT = "MANYSERVE_AZURE_ENDPOINT"
HF_ENDPOINT = "MANYSERVE_HF_ENDPOINT"

# https://
ALLOW_HTTP = "MANYSERVE_ALLOW_HTTP"
ALLOWED_NETWORKS = "MANYSERVE_ALLOWED_NETWORKS"
CA_FILE = "MANYSERVE_CA_FILE"
