"""Emulators of object stores on loopback addresses: versitygw for S3, fake-gcs-server for Google, Azurite for Azure."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcluster.lock import lock
from localcluster.paths import HERE, binary, cache
from localcluster.tools import TOOLS
from tests.support.eventually import eventually_sync
from tests.support.programs import free_port

AZURITE = HERE / "tools" / "azurite"
KEY, SECRET = "test-key", "test-secret"
ACCOUNT, ACCOUNT_KEY = "modelstore", "bW9kZWxzdG9yZSBtb2RlbHN0b3Jl"
BUCKET = "bucket"


@dataclass(frozen=True)
class RunningStore:
    """A store that accepts connections."""

    url: str
    folder: Path


@contextmanager
def s3(folder: Path, *options: str, scheme: str = "http") -> Iterator[RunningStore]:
    """Run an S3 gateway over a folder. Each folder in it is a bucket."""
    root = folder / "root"
    (root / BUCKET).mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [_tool("versitygw"), "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "--quiet"]
    with _run([*command, "--keep-alive", *options, "posix", str(root)], port, folder):
        yield RunningStore(f"{scheme}://localhost:{port}", root)


@contextmanager
def gcs(folder: Path) -> Iterator[RunningStore]:
    """Run a store of Google's over a folder. Each folder in it is a bucket."""
    root = folder / "root"
    (root / BUCKET).mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [_tool("fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    locations = ["-public-host", f"127.0.0.1:{port}", "-backend", "filesystem", "-filesystem-root", str(root)]
    with _run([*command, *locations, "-log-level", "error"], port, folder):
        yield RunningStore(f"http://127.0.0.1:{port}", root)


@contextmanager
def azure(folder: Path) -> Iterator[RunningStore]:
    """Run an Azure blob storage with one account. The URL is the account's."""
    port = free_port()
    program = _azurite() / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    command = ["node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    env = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
    with _run([*command, "--silent", "--skipApiVersionCheck", "--disableTelemetry"], port, folder, env):
        yield RunningStore(f"http://127.0.0.1:{port}/{ACCOUNT}", folder)


@contextmanager
def _run(command: Sequence[str], port: int, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        program = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=os.environ | (env or {}))
    try:
        eventually_sync(lambda: program.poll() is not None or _listens(port), f"{command[0]} listens", 60)
        assert program.poll() is None, (folder / "log").read_text()
        yield
    finally:
        program.kill()
        program.wait()


def _tool(name: str) -> str:
    if not TOOLS[name].home.is_dir():
        pytest.fail(f"there is no {name} to test against: run make tools", pytrace=False)
    return binary(name)


def _azurite() -> Path:
    """Return the folder of Azurite. It is installed into the cache once for each lock file."""
    if not shutil.which("npm"):
        pytest.fail("there is no npm to install Azurite with: run make stores as root, or install it", pytrace=False)
    pinned = (AZURITE / "package-lock.json").read_bytes()
    home = cache() / "tools" / f"azurite-{hashlib.sha256(pinned).hexdigest()[:16]}"
    with lock("azurite"):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            shutil.copytree(AZURITE, home)
            options = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(["npm", "ci", *options], cwd=home, check=True)
            (home / "complete").touch()
    return home


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
