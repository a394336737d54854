"""Start programs that outlive this process, find them again, and end them: only those of this package, by pid.

The kernel may give a pid to another program later, so a pid file holds the start time of the process too. Programs of
a cluster run in sessions of their own, in the cluster's network namespace.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.paths import Cluster
from localcluster.say import Failure
from localcluster.wait import until

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def run(
    command: Sequence[object], env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str = ""
) -> str:
    """Run a program to its end and return what it printed; fail with its last lines."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, "PATH": SEARCH, **(env or {})},
            cwd=cwd,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failure(f"`{error.filename}` is needed, and this machine does not have it") from None
    if done.returncode:
        words = " ".join(str(word) for word in command[:6])
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise Failure(f"`{words} ...` ended with {done.returncode}:\n" + "\n".join(lines))
    return done.stdout


def start(cluster: Cluster, name: str, command: Sequence[object], netns: str | None = None) -> None:
    """Start one of a cluster's programs and write its pid file."""
    for folder in ("log", "pid"):
        (cluster.folder / folder).mkdir(parents=True, exist_ok=True)
    inside = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    with (cluster.folder / "log" / f"{name}.log").open("wb") as log:
        child = subprocess.Popen(
            [*inside, *(str(word) for word in command)],
            env={**os.environ, "PATH": SEARCH},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (cluster.folder / "pid" / name).write_text(f"{child.pid} {_born(child.pid)}")
    child.returncode = 0  # this process does not wait for it


def _born(pid: int) -> str:
    """Return the start time of a live process in clock ticks since the boot, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def find(cluster: Cluster, name: str) -> int | None:
    """Return the pid of a started program that lives."""
    try:
        pid, _, born = (cluster.folder / "pid" / name).read_text().partition(" ")
    except OSError:
        return None
    return int(pid) if born and _born(int(pid)) == born else None


def names(cluster: Cluster) -> list[str]:
    """Return the names of the programs that were started."""
    folder = cluster.folder / "pid"
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def must_live(cluster: Cluster, name: str) -> None:
    """Fail with the end of its log when a program has died."""
    if find(cluster, name) is None:
        log = cluster.folder / "log" / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-8:] if log.exists() else []
        raise Failure(f"{name} ended; the end of {log}:\n" + "\n".join(lines))


def kill(pid: int) -> None:
    """End a process at once and wait until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until(f"process {pid} to end", lambda: not _born(pid), limit=30, pause=0.01)
