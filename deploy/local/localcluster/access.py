"""Access to the API server: one token and one kubeconfig for each part of the cluster."""

import base64
import json
import secrets

from localcluster import pki
from localcluster.paths import FABRIC, MAX_NODES, Cluster

MASTERS = "system:masters"
USERS = {
    "admin": ("kubernetes-admin", MASTERS),
    "addons": ("addons", MASTERS),
    "controller-manager": ("system:kube-controller-manager", ""),
    "kwok": ("kwok", MASTERS),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    **{f"node{i}": (f"system:node:node{i}", "system:nodes") for i in range(1, MAX_NODES + 1)},
}


def make(cluster: Cluster) -> None:
    """Write the file of tokens that the API server reads, and a kubeconfig for each."""
    lines = []
    for file, (user, group) in USERS.items():
        token = secrets.token_hex(16)
        lines.append(f'{token},{user},{file},"{group}"\n')
        _write_kubeconfig(cluster, file, token)
    tokens = cluster.folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("".join(lines))


def _write_kubeconfig(cluster: Cluster, file: str, token: str) -> None:
    """Write one kubeconfig; programs on a node reach the control plane over the bridge."""
    on_a_node = file == "proxy" or file.startswith("node")
    server = f"https://{FABRIC}:{cluster.port}" if on_a_node else cluster.server
    authority = base64.b64encode((pki.folder_of(cluster) / "ca.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster.name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": file, "user": {"token": token}}],
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": file}}],
        "current-context": cluster.name,
    }
    path = cluster.folder / f"{file}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
