"""One cgroup per node in every hierarchy, under a common parent for the cluster.

The kubelet keeps its pods below `/manyserve-PORT-x/nodeI`, so limits hold and the machine's own cgroups stay
untouched. With cgroup v1 each controller is a hierarchy of its own, and a new cpuset needs a copy of its parent's
masks. With v2 there is one hierarchy, and each cgroup must delegate the controllers to its children.
"""

from pathlib import Path

from localcluster.paths import Cluster, Node
from localcluster.wait import until

ROOT = Path("/sys/fs/cgroup")


def path(node: Node) -> str:
    """Return a node's cgroup, as the kubelet names it."""
    return f"/{node.cluster.name}/{node.name}"


def make(node: Node) -> None:
    """Create a node's cgroup in every hierarchy."""
    for hierarchy in _hierarchies():
        inner = hierarchy
        for name in (node.cluster.name, node.name):
            outer, inner = inner, inner / name
            _hand_down(outer)
            inner.mkdir(exist_ok=True)
            for mask in ("cpuset.cpus", "cpuset.mems"):
                if hierarchy.name == "cpuset":
                    (inner / mask).write_text((outer / mask).read_text())
        _hand_down(inner)


def processes(cluster: Cluster) -> list[int]:
    """Return the processes in a cluster's cgroups."""
    files = [file for root in _ours(cluster) for file in root.rglob("cgroup.procs")]
    return sorted({int(pid) for file in files for pid in file.read_text().split()})


def remove(cluster: Cluster) -> None:
    """Remove a cluster's cgroups, which takes a moment after the last process in them ended."""
    until("its cgroups to empty", lambda: _removed(cluster), limit=30)


def _removed(cluster: Cluster) -> bool:
    for root in _ours(cluster):
        for folder in sorted((p for p in root.rglob("*") if p.is_dir()), reverse=True):
            _try_rmdir(folder)
        _try_rmdir(root)
    return not _ours(cluster)


def _try_rmdir(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # busy: `remove` retries
        return


def _hierarchies() -> list[Path]:
    """Return the root of each mounted hierarchy."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [child for child in ROOT.iterdir() if (child / "cgroup.procs").exists()] if ROOT.is_dir() else []


def _ours(cluster: Cluster) -> list[Path]:
    return [root / cluster.name for root in _hierarchies() if (root / cluster.name).is_dir()]


def _hand_down(folder: Path) -> None:
    """With v2, delegate every controller of a cgroup to its children."""
    controllers = folder / "cgroup.controllers"
    if controllers.exists():
        words = [f"+{name}" for name in controllers.read_text().split()]
        (folder / "cgroup.subtree_control").write_text(" ".join(words))
