"""The agent's settings: the environment in, one frozen object out, checked at start.

Each field names its variable. A wrong value is a `ValueError` with one sentence that names the variable, so
that a misspelt Deployment ends at once with a line that a person can act on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from manyserve import environment
from manyserve.api.agentreport import AGENT_PORT

GIB = 1024**3


def _path(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _url(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("must be an http or https URL")
    return url.rstrip("/")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e7:
        raise ValueError("must be a number of seconds above 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number above 0")
    return value


def _env(variables: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    """Return how a field is read: from the first of the variables, separated by spaces, that is set."""
    return {"variables": variables.split(), "parse": parse}


@dataclass(frozen=True)
class AgentSettings:
    """Everything that can be set."""

    store_dir: Path = field(default=Path("/mnt/manyserve"), metadata=_env("MANYSERVE_STORE_DIR", _path))
    config_file: Path = field(default=Path("/mnt/configs/models.json"), metadata=_env("MANYSERVE_CONFIG_FILE", _path))
    server_url: str = field(default="http://localhost:8080", metadata=_env("MANYSERVE_SERVER_URL", _url))
    server_models_dir: Path = field(default=Path("/mnt/models"), metadata=_env("MANYSERVE_SERVER_MODELS_DIR", _path))
    """Where the server sees the models; only the log speaks of it."""
    port: int = field(default=AGENT_PORT, metadata=_env("MANYSERVE_AGENT_PORT", environment.port))
    log_level: str = field(default="INFO", metadata=_env("MANYSERVE_LOG_LEVEL", environment.level))
    config_poll_seconds: float = field(default=0.1, metadata=_env("MANYSERVE_CONFIG_POLL_SECONDS", _seconds))
    index_poll_seconds: float = field(default=1.0, metadata=_env("MANYSERVE_INDEX_POLL_SECONDS", _seconds))
    load_seconds: float = field(default=300.0, metadata=_env("MANYSERVE_LOAD_SECONDS", _seconds))
    """How long a load may take before it counts as failed."""
    load_slot_seconds: float = field(default=30.0, metadata=_env("MANYSERVE_LOAD_SLOT_SECONDS", _seconds))
    """How long a load keeps its place among the parallel loads, so that hanging ones do not stop the others."""
    unfinished_loads: int = field(default=4, metadata=_env("MANYSERVE_UNFINISHED_LOADS", _count))
    """No load is begun while so many are not finished. Each hanging one blocks a thread of the server: Triton has
    eight for HTTP, and answers nobody once all of them hang."""
    unload_seconds: float = field(default=60.0, metadata=_env("MANYSERVE_UNLOAD_SECONDS", _seconds))
    download_seconds: float = field(default=3600.0, metadata=_env("MANYSERVE_DOWNLOAD_SECONDS", _seconds))
    stall_seconds: float = field(default=30.0, metadata=_env("MANYSERVE_STALL_SECONDS", _seconds))
    """A download that brings next to nothing for so long is given up and tried again."""
    parallel_downloads: int = field(default=4, metadata=_env("MANYSERVE_PARALLEL_DOWNLOADS", _count))
    parallel_loads: int = field(default=2, metadata=_env("MANYSERVE_PARALLEL_LOADS", _count))
    parallel_files: int = field(default=4, metadata=_env("MANYSERVE_PARALLEL_FILES", _count))
    """Files read at once, over all downloads: it bounds the memory."""
    max_files: int = field(default=10_000, metadata=_env("MANYSERVE_MAX_FILES", _count))
    max_bytes: int = field(default=100 * GIB, metadata=_env("MANYSERVE_MAX_BYTES", _count))
    gcs_endpoint: str | None = field(default=None, metadata=_env("MANYSERVE_GCS_ENDPOINT STORAGE_EMULATOR_HOST", _url))
    gcs_credentials: str | None = field(default=None, metadata=_env("GOOGLE_APPLICATION_CREDENTIALS", str))
    """A credentials file for Google's storage; without one it is read anonymously."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings. Raises `ValueError` with a sentence that names the wrong variable."""
        values: dict[str, Any] = {}
        for each in fields(cls):
            name = next((name for name in each.metadata["variables"] if environ.get(name)), None)
            if name is None:
                continue
            try:
                values[each.name] = each.metadata["parse"](environ[name])
            except ValueError as error:
                raise ValueError(f"{name}={environ[name]!r} is not valid: {error}") from error
        return cls(**values)
