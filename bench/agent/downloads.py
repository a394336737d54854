"""Downloads of a gibibyte, in many files and in one, beside the libraries that others use for it.

The stores are real programs on this machine, so what is compared is the work of the clients: they take turns, in
processes of their own, and each figure is made of the medians.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from obstore.store import S3Store
from tests.stores import programs
from tests.stores.programs import BUCKET, KEY, SECRET, RunningStore

from bench.agent.figures import figure
from localcluster.lock import lock
from localcluster.paths import PROJECT, cache
from localcluster.tools import ensure

GIB = 1024**3
_FILES = 64
_LIMIT = GIB  # of the agent's container, in the chart's values
_MANAGED, _PLAIN = "its transfer manager", "google-cloud-storage"
_PEERS: dict[tuple[str, str], dict[str, float | None]] = {
    ("s3", "many"): {"boto3": 1.4},
    ("s3", "one"): {"boto3": 1.4},
    ("gs", "many"): {_MANAGED: 2.0},
    ("gs", "one"): {_PLAIN: 2.0, _MANAGED: None},
}
"""The peers at each kind of store for each shape, and how many times as fast the agent is to be."""
_PLACES = {"s3": programs.s3, "gs": programs.gcs}
_OWN = "the agent"

Run = dict[str, float]


def measure(total: int = GIB, rounds: int = 3) -> dict[str, object]:
    """Read so many bytes so many times, from each store, in each shape, by each client."""
    ensure("versitygw", "fake-gcs-server")
    peers, found = _environment(), dict[str, object]()
    for kind in _PLACES:
        with tempfile.TemporaryDirectory(prefix="manyserve-bench-") as name, _seeded(kind, Path(name), total) as store:
            for shape in ("many", "one"):
                runs = [_round(kind, shape, store, peers, Path(name) / "target") for _ in range(rounds)]
                found |= _figures(kind, shape, runs, total)
    return found


def _figures(kind: str, shape: str, runs: list[dict[str, Run]], total: int) -> dict[str, object]:
    seconds = {who: median(run[who]["seconds"] for run in runs) for who in runs[0]}
    most = {who: max(run[who]["bytes"] for run in runs) / 1024**2 for who in runs[0]}
    what = f"{kind}://, {total / 1024**2:g} MiB in {f'{_FILES} files' if shape == 'many' else 'one file'}"
    figures: dict[str, object] = {
        f"{what}: as fast as {peer}": figure(
            seconds[peer] / seconds[_OWN], "times", least=times, peer=f"{seconds[_OWN]:.2f} s, {seconds[peer]:.2f} s"
        )
        for peer, times in _PEERS[kind, shape].items()
    }
    others = ", ".join(f"{peer} {most[peer]:.0f}" for peer in _PEERS[kind, shape])
    return figures | {f"{what}: memory": figure(most[_OWN], "MiB", below=_LIMIT / 1024**2, peer=others)}


def _round(kind: str, shape: str, store: RunningStore, peers: Path, target: Path) -> dict[str, Run]:
    """Let all read, one after the other."""
    uri, reading = f"{kind}://{BUCKET}/models/{shape}", str(Path(__file__).with_name("peer_reading.py"))
    runs = {_OWN: _run([sys.executable, "-m", "bench.agent.own_reading", uri, store.url], target)}
    for peer in _PEERS[kind, shape]:
        how = ["plain"] if peer == _PLAIN else []
        runs[peer] = _run([str(peers), reading, uri, store.url], target, *how)
    took = ", ".join(f"{who} {run['seconds']:.2f} s" for who, run in runs.items())
    print(f"{uri}: {took}", file=sys.stderr)
    return runs


def _run(words: list[str], target: Path, *how: str) -> Run:
    """Run a client into an empty folder, with nothing left to be written before."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
    path = ":".join(sys.path) if words[0] == sys.executable else ""
    env = os.environ | keys | {"PYTHONPATH": path}
    printed = subprocess.run(
        [*words, str(target), *how], cwd=PROJECT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    run: Run = json.loads(printed.stdout)
    return run


@contextmanager
def _seeded(kind: str, folder: Path, total: int) -> Iterator[RunningStore]:
    """Run a store that has the models; the emulator is started anew, since it keeps what it took in memory."""
    print(f"{kind}: seeding", file=sys.stderr)
    with _PLACES[kind](folder) as store:
        put = _put_s3 if kind == "s3" else _put_gcs
        for number in range(_FILES):
            put(store, f"models/many/{number:02}", os.urandom(total // _FILES))
        put(store, "models/one/model", os.urandom(total))
    with _PLACES[kind](folder) as store:
        yield store


def _put_s3(store: RunningStore, key: str, data: bytes) -> None:
    config: Any = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": store.url}
    S3Store(BUCKET, config=config, client_options={"allow_http": True, "timeout": "5 minutes"}).put(key, data)


def _put_gcs(store: RunningStore, key: str, data: bytes) -> None:
    query = urllib.parse.urlencode({"uploadType": "media", "name": key})
    url = f"{store.url}/upload/storage/v1/b/{BUCKET}/o?{query}"
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST")) as answer:
        answer.read()


def _environment() -> Path:
    """Return the peers' Python; they are installed once for each list of pinned versions."""
    requirements = PROJECT / "requirements" / "bench.txt"
    key = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    home = cache() / "tools" / f"bench-{key}"
    with lock("bench"):
        if not (home / "complete").exists():
            print("installing the peers", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
            options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:"]
            subprocess.run([home / "bin" / "python", "-m", "pip", "install", *options, "-r", requirements], check=True)
            (home / "complete").touch()
    return home / "bin" / "python"
