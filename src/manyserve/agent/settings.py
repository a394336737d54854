"""The agent's settings, with those of the object stores: endpoints, credentials, limits.

Credentials are files. The operator mounts each Secret of the host's ServiceAccount as a folder below
`credentials_dir`, and the agent reads a file again when it has changed. A variable of a store holds for all models; a
key of the same meaning in a Secret has priority.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from manyserve.agent.servers import DIALECTS
from manyserve.api import agentenv
from manyserve.api.agentreport import AGENT_PORT
from manyserve.settings_env import Settings, env
from manyserve.settings_types import (
    AbsolutePath,
    Count,
    Flag,
    LogLevel,
    Names,
    Networks,
    Percent,
    Port,
    Seconds,
    Url,
    one_of,
)

MIB = 1024**2
GIB = 1024 * MIB


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
    archive_ratio: Count = env("MANYSERVE_ARCHIVE_RATIO", default=100)
    """The largest ratio of an archive's unpacked size to its own."""


class AgentSettings(Settings):
    """All settings of `manyserve agent`."""

    store_dir: AbsolutePath = env(agentenv.STORE_DIR, default=Path("/mnt/manyserve"))
    config_file: AbsolutePath = env(agentenv.CONFIG_FILE, default=Path("/mnt/configs/models.json"))
    server_url: Url = env(agentenv.SERVER_URL, default="http://localhost:8080")
    server_metrics_url: Url = env("MANYSERVE_SERVER_METRICS_URL", default="http://localhost:8002/metrics")
    """The counters of requests, for `/traffic`."""
    server_models_dir: AbsolutePath = env("MANYSERVE_SERVER_MODELS_DIR", default=Path("/mnt/models"))
    """The folder of the models in the server's container, for the log."""
    port: Port = env("MANYSERVE_AGENT_PORT", default=AGENT_PORT)
    log_level: LogLevel = env("MANYSERVE_LOG_LEVEL", default="INFO")
    config_poll_seconds: Seconds = env("MANYSERVE_CONFIG_POLL_SECONDS", default=0.1)
    index_poll_seconds: Seconds = env("MANYSERVE_INDEX_POLL_SECONDS", default=1.0)
    load_seconds: Seconds = env("MANYSERVE_LOAD_SECONDS", default=300.0)
    """A load that takes longer counts as failed."""
    load_slot_seconds: Seconds = env("MANYSERVE_LOAD_SLOT_SECONDS", default=30.0)
    """A load frees its slot among the parallel loads after this time, so that hanging loads do not stop the others."""
    unfinished_loads: Count = env("MANYSERVE_UNFINISHED_LOADS", default=4)
    """No load begins while so many are unfinished. A hanging load blocks a thread of the server. Triton has eight
    threads for HTTP, and answers no request once all of them hang."""
    unload_seconds: Seconds = env("MANYSERVE_UNLOAD_SECONDS", default=60.0)
    download_seconds: Seconds = env("MANYSERVE_DOWNLOAD_SECONDS", default=3600.0)
    stall_seconds: Seconds = env("MANYSERVE_STALL_SECONDS", default=30.0)
    """A download that makes almost no progress for this time is cancelled and tried again."""
    parallel_downloads: Count = env("MANYSERVE_PARALLEL_DOWNLOADS", default=4)
    """The fast slots of downloads."""
    slow_downloads: Count = env("MANYSERVE_SLOW_DOWNLOADS", default=16)
    """The slow slots, for downloads that have had a slice of a fast one while others wait."""
    download_slot_seconds: Seconds = env("MANYSERVE_DOWNLOAD_SLOT_SECONDS", default=1.0)
    """The slice."""
    parallel_loads: Count = env("MANYSERVE_PARALLEL_LOADS", default=2)
    parallel_files: Count = env("MANYSERVE_PARALLEL_FILES", default=4)
    """Files of one model that are read at once. With the slots it bounds the memory of the process."""
    max_files: Count = env("MANYSERVE_MAX_FILES", default=2_000)
    """Files and folders of one model."""
    max_bytes: Count = env("MANYSERVE_MAX_BYTES", default=100 * GIB)
    settle_seconds: Seconds = env("MANYSERVE_SETTLE_SECONDS", default=1800.0)
    """A new pod that the operator does not poll is ready after this time, even if downloads or loads still run."""
    silence_seconds: Seconds = env("MANYSERVE_SILENCE_SECONDS", default=60.0)
    """Without a hold for this time the agent decides the pod's readiness by itself: longer than a failover takes."""
    progress_seconds: Seconds = env("MANYSERVE_PROGRESS_SECONDS", default=5.0)
    """Shortest time between two reports of a download's progress."""
    disk_reserve: Count = env("MANYSERVE_DISK_RESERVE", default=64 * MIB)
    """Bytes of the volume that downloads leave free, in addition to the next share."""
    disk_reserve_percent: Percent = env("MANYSERVE_DISK_RESERVE_PERCENT", default=10)
    """Share of the disk that downloads leave free: at 10 % the kubelet evicts pods of the node, by default."""
    volume_bytes: Count | None = env(agentenv.VOLUME_BYTES, default=None)
    """The volume's own limit, beyond which the kubelet evicts the pod."""
    server_dialect: Annotated[str, one_of(*DIALECTS)] = env(agentenv.SERVER_DIALECT, default="v2")
    """The API of the model server: `v2` is Triton's, `mlserver`, or `v1` of KServe's own servers."""
    routers: Flag = env(agentenv.ROUTERS, default=False)
    """The host has routers. They follow `/routes`, and an unload waits for their acknowledgements."""
    server_key: str | None = env(agentenv.SERVER_KEY, default=None, secret=True)
    """The header value that the server demands for loads and unloads."""
    allowed_backends: Names = env(agentenv.ALLOWED_BACKENDS, default=())
    """Backends of Triton that models may have, or `*`; none: the server is no Triton, and they are not checked."""
    sources: SourceSettings = SourceSettings()
