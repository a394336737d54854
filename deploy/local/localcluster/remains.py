"""Remove a cluster in any state: running, half started, or killed.

Its programs are found by their pid files, and also by its network namespaces and cgroups. Only its own processes run
in those, so even a lost pid file leaves nothing behind. The mounts, the cgroups, the namespaces and the data are
removed last.
"""

import shutil
from pathlib import Path

from localcluster import cgroups, network, process
from localcluster.paths import Cluster
from localcluster.process import run


def clear(cluster: Cluster) -> None:
    """Remove all parts of a cluster; harmless when there is none."""
    for name in process.names(cluster):
        if pid := process.find(cluster, name):
            process.kill(pid)
    for pid in [*network.processes(cluster), *cgroups.processes(cluster)]:
        process.kill(pid)
    cgroups.remove(cluster)
    network.remove(cluster)
    _unmount(cluster.folder)
    if cluster.folder.exists():
        shutil.rmtree(cluster.folder)


def _unmount(folder: Path) -> None:
    """Unmount all mounts below a folder, innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    for point in sorted((p for p in points if p.startswith(f"{folder}/")), reverse=True):
        run(["umount", "--lazy", point])
