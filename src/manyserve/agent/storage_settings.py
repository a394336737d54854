"""Settings of the object stores: endpoints, credentials, limits.

Credentials are files. The operator mounts each Secret of the host's ServiceAccount as a folder below
`credentials_dir`, and the agent reads a file again when it has changed. A variable holds for all models; a key of
the same meaning in a Secret has priority.
"""

from __future__ import annotations

from pathlib import Path

from manyserve.api import agentenv
from manyserve.settings_env import Settings, env
from manyserve.settings_types import AbsolutePath, Count, Flag, Networks, Url

MIB = 1024**2


class SourceSettings(Settings):
    """Settings of all object stores."""

    credentials_dir: AbsolutePath = env("MANYSERVE_CREDENTIALS_DIR", default=Path("/mnt/credentials"))
    """One folder a Secret, one file a key."""
    pvc_dir: AbsolutePath = env("MANYSERVE_PVC_DIR", default=Path("/mnt/pvc"))
    """One folder a claim, mounted read-only."""
    range_bytes: Count = env("MANYSERVE_RANGE_BYTES", default=64 * MIB)
    """Larger files are read in ranges of this size, several at once."""

    gcs_endpoint: Url | None = env(agentenv.GCS_ENDPOINT, "STORAGE_EMULATOR_HOST", default=None)
    gcs_credentials: str | None = env("GOOGLE_APPLICATION_CREDENTIALS", default=None)
    """The credentials file of Google's storage, when no Secret has one."""
    gcs_key_name: str = env(agentenv.GCS_KEY_NAME, default="gcloud-application-credentials.json")
    """The key of a Secret that holds such a file."""

    s3_endpoint: Url | None = env(agentenv.S3_ENDPOINT, default=None)
    s3_check_endpoint: Flag = env(agentenv.S3_CHECK_ENDPOINT, default=False)
    """The endpoint is from an annotation, not from the administrator, so its address is checked."""
    s3_region: str | None = env(agentenv.S3_REGION, "AWS_REGION", "AWS_DEFAULT_REGION", default=None)
    s3_virtual_host: Flag | None = env(agentenv.S3_VIRTUAL_HOST, default=None)
    """The bucket is part of the host name; None: at AWS yes, at another endpoint no."""
    s3_verify_tls: Flag = env(agentenv.S3_VERIFY_TLS, default=True)
    s3_ca_file: AbsolutePath | None = env(agentenv.S3_CA_FILE, "AWS_CA_BUNDLE", default=None)
    s3_anonymous: Flag = env(agentenv.S3_ANONYMOUS, default=False)
    s3_access_key_name: str = env(agentenv.S3_ACCESS_KEY_NAME, default="AWS_ACCESS_KEY_ID")
    s3_secret_key_name: str = env(agentenv.S3_SECRET_KEY_NAME, default="AWS_SECRET_ACCESS_KEY")

    azure_endpoint: Url | None = env(agentenv.AZURE_ENDPOINT, default=None)
    hf_endpoint: Url = env(agentenv.HF_ENDPOINT, "HF_ENDPOINT", default="https://huggingface.co")

    allow_http: Flag = env(agentenv.ALLOW_HTTP, default=False)
    """Whether http:// is read at all."""
    allowed_networks: Networks = env(agentenv.ALLOWED_NETWORKS, default=())
    """Networks that may be read from although they are not public."""
    ca_file: AbsolutePath | None = env(agentenv.CA_FILE, default=None)
    """Further certificates that https sources may be signed by."""
    archive_files: Count = env("MANYSERVE_ARCHIVE_FILES", default=100_000)
    archive_ratio: Count = env("MANYSERVE_ARCHIVE_RATIO", default=100)
    """The largest ratio of an archive's unpacked size to its own."""
