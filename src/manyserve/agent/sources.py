"""Where models come from and how the agent proves itself there: the settings of the object stores.

Credentials are files: the operator mounts each secret of the host's ServiceAccount as a folder below
`credentials_dir`, and what lies there is read again whenever it changed. What the environment says holds for
all; a key in a secret of the same meaning goes before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from manyserve.agent.variables import count, env, flag, networks, path, url
from manyserve.api import agentenv
from manyserve.api.addresses import Network

MIB = 1024**2


@dataclass(frozen=True)
class SourceSettings:
    """The settings of all stores."""

    credentials_dir: Path = field(default=Path("/mnt/credentials"), metadata=env("MANYSERVE_CREDENTIALS_DIR", path))
    """One folder a secret, one file a key."""
    pvc_dir: Path = field(default=Path("/mnt/pvc"), metadata=env("MANYSERVE_PVC_DIR", path))
    """One folder a claim, mounted read-only."""
    range_bytes: int = field(default=64 * MIB, metadata=env("MANYSERVE_RANGE_BYTES", count))
    """Larger files are read in ranges of so many bytes, several at once."""

    gcs_endpoint: str | None = field(default=None, metadata=env(f"{agentenv.GCS_ENDPOINT} STORAGE_EMULATOR_HOST", url))
    gcs_credentials: str | None = field(default=None, metadata=env("GOOGLE_APPLICATION_CREDENTIALS", str))
    """A credentials file for Google's storage, when no secret has one."""
    gcs_key_name: str = field(default="gcloud-application-credentials.json", metadata=env(agentenv.GCS_KEY_NAME, str))
    """The key of a secret that holds such a file."""

    s3_endpoint: str | None = field(default=None, metadata=env(agentenv.S3_ENDPOINT, url))
    s3_check_endpoint: bool = field(default=False, metadata=env(agentenv.S3_CHECK_ENDPOINT, flag))
    """The endpoint comes from an annotation, not from the administrator: its address is judged."""
    s3_region: str | None = field(
        default=None, metadata=env(f"{agentenv.S3_REGION} AWS_REGION AWS_DEFAULT_REGION", str)
    )
    s3_virtual_host: bool | None = field(default=None, metadata=env(agentenv.S3_VIRTUAL_HOST, flag))
    """The bucket is part of the host's name; unset: at AWS yes, at an endpoint of one's own no."""
    s3_verify_tls: bool = field(default=True, metadata=env(agentenv.S3_VERIFY_TLS, flag))
    s3_ca_file: Path | None = field(default=None, metadata=env(f"{agentenv.S3_CA_FILE} AWS_CA_BUNDLE", path))
    s3_anonymous: bool = field(default=False, metadata=env(agentenv.S3_ANONYMOUS, flag))
    s3_access_key_name: str = field(default="AWS_ACCESS_KEY_ID", metadata=env(agentenv.S3_ACCESS_KEY_NAME, str))
    s3_secret_key_name: str = field(default="AWS_SECRET_ACCESS_KEY", metadata=env(agentenv.S3_SECRET_KEY_NAME, str))

    azure_endpoint: str | None = field(default=None, metadata=env(agentenv.AZURE_ENDPOINT, url))
    hf_endpoint: str = field(default="https://huggingface.co", metadata=env(f"{agentenv.HF_ENDPOINT} HF_ENDPOINT", url))

    allow_http: bool = field(default=False, metadata=env(agentenv.ALLOW_HTTP, flag))
    """Whether http:// is read at all."""
    allowed_networks: tuple[Network, ...] = field(default=(), metadata=env(agentenv.ALLOWED_NETWORKS, networks))
    """Networks that may be read from although they are not public."""
    ca_file: Path | None = field(default=None, metadata=env(agentenv.CA_FILE, path))
    """Further certificates that https sources may be signed by."""
    archive_files: int = field(default=100_000, metadata=env("MANYSERVE_ARCHIVE_FILES", count))
    archive_ratio: int = field(default=100, metadata=env("MANYSERVE_ARCHIVE_RATIO", count))
    """An archive may unpack to so many times its size."""
