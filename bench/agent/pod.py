"""The processes of one measurement: the stand-ins, the real program `manyserve agent`, and the files between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.request import urlopen

from tests.support.eventually import eventually_sync
from tests.support.programs import free_port

from manyserve.api.modelconfig import Entry, dump

_TICKS = os.sysconf("SC_CLK_TCK")
_MIB = 1024**2
PAUSE = 0.02
"""Seconds between two polls."""
AGENT = (str(Path(sys.executable).with_name("manyserve")), "agent")


def entry(name: str, version: int = 0) -> Entry:
    """Return a model as the config names it; another version lies under another URI."""
    spec = {"storageUri": f"gs://bucket/{name}/{version}", "framework": "onnx", "memory": "1Mi"}
    return Entry.from_wire({"modelName": name, "modelSpec": spec})


def seconds_until(
    check: Callable[[], object], what: str, limit: float, running: subprocess.Popen[bytes] | None = None
) -> float:
    """Wait for a state and return the seconds it took. Raises `RuntimeError` when the program has ended."""

    def is_reached() -> bool:
        if check():
            return True
        if running and running.poll() is not None:
            raise RuntimeError(f"the program ended with {running.returncode}")
        return False

    start = time.monotonic()
    eventually_sync(is_reached, what, limit, PAUSE)
    return time.monotonic() - start


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has had."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever had resident, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / _MIB


@dataclass
class Stage:
    """Stand-ins that run, and a folder for one agent."""

    root: Path
    server: str
    bucket: str
    port: int
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def write(self, entries: Iterable[Entry]) -> None:
        """Put a config in the place of the one before."""
        path = self.root / "models.json"
        new = path.with_suffix(".new")
        new.write_text(dump(entries))
        new.rename(path)

    def environment(self) -> dict[str, str]:
        """Return the settings of the agent."""
        return os.environ | {
            "MANYSERVE_STORE_DIR": str(self.root / "volume"),
            "MANYSERVE_CONFIG_FILE": str(self.root / "models.json"),
            "MANYSERVE_SERVER_URL": self.server,
            "MANYSERVE_GCS_ENDPOINT": self.bucket,
            "MANYSERVE_AGENT_PORT": str(self.port),
        }

    def start(self, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start an agent, or another program in its place; its log goes to `agent.log`."""
        with (self.root / "agent.log").open("ab") as log:
            agent = subprocess.Popen(command or AGENT, env=self.environment() | settings, stdout=log, stderr=log)
        self.agents.append(agent)
        return agent

    def end(self) -> None:
        """Kill what was started."""
        for agent in self.agents:
            agent.kill()
            agent.wait()

    def calls(self) -> dict[str, int]:
        """Return how often the server was called for what."""
        return dict(_asked(self.server)["calls"])

    def served(self) -> dict[str, str]:
        """Return the weights that the server has, by model."""
        return dict(_asked(self.server, "served"))

    def begin(self, root: Path) -> Stage:
        """Return a stage with a volume of its own, before which the server starts anew."""
        root.mkdir(parents=True, exist_ok=True)
        with urlopen(f"{self.server}/-/begin?models={root}/volume/models", timeout=30):
            return replace(self, root=root, port=free_port(), agents=[])

    def ready(self) -> int:
        """Return how many models the server has."""
        return int(_asked(self.server)["ready"])

    def loaded(self) -> int:
        """Return how many models the agent reports as loaded; 0 while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/status", timeout=30) as answer:
                return sum(model["state"] == "Loaded" for model in json.load(answer)["models"].values())
        except OSError:
            return 0


def _asked(url: str, what: str = "counts") -> dict[str, Any]:
    with urlopen(f"{url}/-/{what}", timeout=30) as answer:
        report: dict[str, Any] = json.load(answer)
        return report


@contextmanager
def stage() -> Iterator[Stage]:
    """Start stand-ins of one's own, and end everything afterwards."""
    folder = tempfile.TemporaryDirectory(prefix="manyserve-bench-", ignore_cleanup_errors=True)
    with folder as root, _standin("server") as server, _standin("bucket") as bucket:
        stage = Stage(Path(root), server, bucket, 0).begin(Path(root))
        try:
            yield stage
        finally:
            stage.end()


@contextmanager
def _standin(what: str) -> Iterator[str]:
    process = subprocess.Popen((sys.executable, "-m", "bench.agent.standins", what), stdout=subprocess.PIPE)
    output: IO[bytes] | None = process.stdout
    try:
        port = int(output.readline()) if output else 0
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        if output:
            output.close()
