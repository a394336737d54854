"""The agent's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from manyserve.agent.servers import DIALECTS
from manyserve.agent.storage_settings import MIB, SourceSettings
from manyserve.api import agentenv
from manyserve.api.agentreport import AGENT_PORT
from manyserve.settings_env import Settings, env
from manyserve.settings_types import AbsolutePath, Count, LogLevel, Port, Seconds, Url, one_of

GIB = 1024 * MIB


class AgentSettings(Settings):
    """All settings of `manyserve agent`."""

    store_dir: AbsolutePath = env(agentenv.STORE_DIR, default=Path("/mnt/manyserve"))
    config_file: AbsolutePath = env(agentenv.CONFIG_FILE, default=Path("/mnt/configs/models.json"))
    server_url: Url = env(agentenv.SERVER_URL, default="http://localhost:8080")
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
    download_slot_seconds: Seconds = env("MANYSERVE_DOWNLOAD_SLOT_SECONDS", default=30.0)
    """A download frees its slot among the parallel downloads after this time, so that huge ones do not stop others."""
    parallel_loads: Count = env("MANYSERVE_PARALLEL_LOADS", default=2)
    parallel_files: Count = env("MANYSERVE_PARALLEL_FILES", default=4)
    """Files that are read at once, over all downloads. It bounds the memory of the process."""
    max_files: Count = env("MANYSERVE_MAX_FILES", default=10_000)
    max_bytes: Count = env("MANYSERVE_MAX_BYTES", default=100 * GIB)
    settle_seconds: Seconds = env("MANYSERVE_SETTLE_SECONDS", default=300.0)
    """A new pod is ready after this time, even if downloads or loads still run."""
    progress_seconds: Seconds = env("MANYSERVE_PROGRESS_SECONDS", default=5.0)
    """Shortest time between two reports of a download's progress."""
    disk_reserve: Count = env("MANYSERVE_DISK_RESERVE", default=64 * MIB)
    """Bytes of the volume that downloads leave free."""
    server_dialect: Annotated[str, one_of(*DIALECTS)] = env(agentenv.SERVER_DIALECT, default="v2")
    """The API of the model server: `v2` is Triton's, `mlserver`, or `v1` of KServe's own servers."""
    server_key: str | None = env(agentenv.SERVER_KEY, default=None, secret=True)
    """The header value that the server demands for loads and unloads."""
    sources: SourceSettings = SourceSettings()
