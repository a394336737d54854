"""Fixtures: the packages of the model servers in a cached virtual environment, and a rig of each server."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from localcluster import paths
from localcluster.lock import lock
from manyserve.plan.servers import kserve, mlserver
from manyserve.plan.servers.launch import MODELS_DIR, LaunchRequest
from tests.agent.servers.programs import KSERVE, TRAIN
from tests.agent.servers.rig import Rig
from tests.agent.support import FakeBucket
from tests.support.programs import free_ports

PINS = paths.PROJECT / "requirements" / "servers.txt"
SLOPES = (2, 3)
Program = tuple[str, list[str], dict[str, str]]
"""Dialect, command line and environment."""


@pytest.fixture(scope="session")
def python() -> Path:
    """Return the Python with the packages, which the first call installs."""
    key = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = paths.cache() / "tools" / f"servers-{key}"
    program, done = folder / "bin" / "python", folder / ".installed"
    with lock("servers"):
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
            subprocess.run([str(program), "-m", "pip", "install", *options, "-r", str(PINS)], check=True)
            done.touch()
    return program


@pytest.fixture(scope="session")
def lines(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """Return trained models by their slope."""
    folder = tmp_path_factory.mktemp("trained")
    subprocess.run([str(python), "-c", TRAIN, str(folder), *map(str, SLOPES)], check=True)
    return {slope: (folder / f"{slope}.joblib").read_bytes() for slope in SLOPES}


@pytest.fixture
async def bucket() -> AsyncIterator[FakeBucket]:
    bucket = FakeBucket()
    async with TestServer(bucket.app()) as server:
        bucket.url = str(server.make_url("")).rstrip("/")
        yield bucket


@pytest.fixture(params=["mlserver", "kserve"])
async def rig(
    request: pytest.FixtureRequest,
    python: Path,
    lines: dict[int, bytes],
    bucket: FakeBucket,
    tmp_path: Path,
) -> AsyncIterator[Rig]:
    """Return a rig with a running server and agent, and no model."""
    ports = free_ports(4)
    build = _mlserver if request.param == "mlserver" else _kserve
    dialect, command, env = build(python, tmp_path, ports)
    urls = [f"http://127.0.0.1:{port}" for port in ports[:2]]
    settings = {"MANYSERVE_SERVER_METRICS_URL": f"http://127.0.0.1:{ports[3]}/metrics"}
    rig = Rig(tmp_path, command, env, urls[0], dialect, urls[1], bucket, lines, settings)
    rig.config.write()
    await rig.start_server()
    await rig.start_agent()
    yield rig
    await rig.close()


def _mlserver(python: Path, folder: Path, ports: Sequence[int]) -> Program:
    """Return MLServer with the environment that the operator sets."""
    launch = mlserver.launch(LaunchRequest("sklearn", "host", ports[0]))
    env = {name: value.replace("/tmp", str(folder / "tmp")) for name, value in launch.env.items()}
    env |= {
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_GRPC_PORT": str(ports[2]),
        "MLSERVER_METRICS_PORT": str(ports[3]),
    }
    return mlserver.MLSERVER.dialect, [str(python.parent / "mlserver"), "start", str(folder / "volume" / "models")], env


def _kserve(python: Path, folder: Path, ports: Sequence[int]) -> Program:
    """Return a server like KServe's own, with the arguments that the operator sets."""
    launch = kserve.launch(LaunchRequest("sklearn", "host", ports[0]))
    models = str(folder / "volume" / "models")
    args = [argument.replace(MODELS_DIR, models) for argument in launch.args]
    return kserve.KSERVE.dialect, [str(python), "-c", KSERVE, *args], {}
