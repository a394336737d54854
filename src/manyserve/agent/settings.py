"""The agent's settings: the environment in, one frozen object out, checked at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from manyserve import environment
from manyserve.agent.servers import DIALECTS
from manyserve.agent.sources import MIB, SourceSettings
from manyserve.agent.variables import count, env, path, seconds, url, values
from manyserve.api import agentenv
from manyserve.api.agentreport import AGENT_PORT

GIB = 1024 * MIB


def _dialect(text: str) -> str:
    if text not in DIALECTS:
        raise ValueError(f"must be one of {', '.join(DIALECTS)}")
    return text


@dataclass(frozen=True)
class AgentSettings:
    """Everything that can be set."""

    store_dir: Path = field(default=Path("/mnt/manyserve"), metadata=env(agentenv.STORE_DIR, path))
    config_file: Path = field(default=Path("/mnt/configs/models.json"), metadata=env(agentenv.CONFIG_FILE, path))
    server_url: str = field(default="http://localhost:8080", metadata=env(agentenv.SERVER_URL, url))
    server_models_dir: Path = field(default=Path("/mnt/models"), metadata=env("MANYSERVE_SERVER_MODELS_DIR", path))
    """Where the server sees the models; only the log speaks of it."""
    port: int = field(default=AGENT_PORT, metadata=env("MANYSERVE_AGENT_PORT", environment.port))
    log_level: str = field(default="INFO", metadata=env("MANYSERVE_LOG_LEVEL", environment.level))
    config_poll_seconds: float = field(default=0.1, metadata=env("MANYSERVE_CONFIG_POLL_SECONDS", seconds))
    index_poll_seconds: float = field(default=1.0, metadata=env("MANYSERVE_INDEX_POLL_SECONDS", seconds))
    load_seconds: float = field(default=300.0, metadata=env("MANYSERVE_LOAD_SECONDS", seconds))
    """How long a load may take before it counts as failed."""
    load_slot_seconds: float = field(default=30.0, metadata=env("MANYSERVE_LOAD_SLOT_SECONDS", seconds))
    """How long a load keeps its place among the parallel loads, so that hanging ones do not stop the others."""
    unfinished_loads: int = field(default=4, metadata=env("MANYSERVE_UNFINISHED_LOADS", count))
    """No load is begun while so many are not finished. Each hanging one blocks a thread of the server: Triton has
    eight for HTTP, and answers nobody once all of them hang."""
    unload_seconds: float = field(default=60.0, metadata=env("MANYSERVE_UNLOAD_SECONDS", seconds))
    download_seconds: float = field(default=3600.0, metadata=env("MANYSERVE_DOWNLOAD_SECONDS", seconds))
    stall_seconds: float = field(default=30.0, metadata=env("MANYSERVE_STALL_SECONDS", seconds))
    """A download that brings next to nothing for so long is given up and tried again."""
    parallel_downloads: int = field(default=4, metadata=env("MANYSERVE_PARALLEL_DOWNLOADS", count))
    download_slot_seconds: float = field(default=30.0, metadata=env("MANYSERVE_DOWNLOAD_SLOT_SECONDS", seconds))
    """How long a download keeps its place among the parallel ones, so that huge ones do not stop the others."""
    parallel_loads: int = field(default=2, metadata=env("MANYSERVE_PARALLEL_LOADS", count))
    parallel_files: int = field(default=4, metadata=env("MANYSERVE_PARALLEL_FILES", count))
    """Files read at once, over all downloads: it bounds the memory."""
    max_files: int = field(default=10_000, metadata=env("MANYSERVE_MAX_FILES", count))
    max_bytes: int = field(default=100 * GIB, metadata=env("MANYSERVE_MAX_BYTES", count))
    settle_seconds: float = field(default=300.0, metadata=env("MANYSERVE_SETTLE_SECONDS", seconds))
    """A new pod is ready after so long at the latest, whatever is still on its way."""
    progress_seconds: float = field(default=5.0, metadata=env("MANYSERVE_PROGRESS_SECONDS", seconds))
    """How far a download is, is told no more often."""
    disk_reserve: int = field(default=64 * MIB, metadata=env("MANYSERVE_DISK_RESERVE", count))
    """Bytes of the volume that downloads leave free."""
    server_dialect: str = field(default="v2", metadata=env(agentenv.SERVER_DIALECT, _dialect))
    """How the model server is spoken to: `v2` as Triton does, `mlserver`, or `v1` as KServe's own servers do."""
    server_key: str | None = field(default=None, metadata=env(agentenv.SERVER_KEY, str), repr=False)
    """What the server asks of those who load and unload; sent as a header."""
    sources: SourceSettings = field(default_factory=SourceSettings)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings. Raises `ValueError` with a sentence that names the wrong variable."""
        sources = SourceSettings(**values(SourceSettings, environ))
        return cls(**values(cls, environ), sources=sources)
