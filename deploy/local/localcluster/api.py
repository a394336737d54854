"""Requests of this package to the API server, without a kubectl process for each."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from localcluster.paths import Cluster, Node, binary
from localcluster.process import run


def get(cluster: Cluster, path: str) -> Any:
    """Return the object at a path (or the text of a health page), or None while there is none."""
    try:
        config = json.loads(cluster.kubeconfig.read_text())
        context = ssl.create_default_context(cafile=str(cluster.folder / "pki" / "ca.crt"))
        token = config["users"][0]["user"]["token"]
        request = urllib.request.Request(cluster.server + path, headers={"Authorization": f"Bearer {token}"})
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=5) as answer:
            body = answer.read()
    except (OSError, ValueError):
        return None
    return json.loads(body) if body.startswith(b"{") else body.decode()


def ready(cluster: Cluster) -> bool:
    """Return whether the API server answers and is ready."""
    return bool(get(cluster, "/readyz") == "ok")


def node_ready(node: Node) -> bool:
    """Return whether a node is ready."""
    return holds(get(node.cluster, f"/api/v1/nodes/{node.name}"), "Ready")


def holds(thing: Any, condition: str) -> bool:
    """Return whether an object exists and one of its conditions is true."""
    conditions = ((thing or {}).get("status") or {}).get("conditions") or []
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)


def kubectl(cluster: Cluster, *words: str, text: str = "") -> str:
    """Run kubectl as the administrator."""
    return run([binary("kubectl"), "--kubeconfig", cluster.kubeconfig, *words], text=text)
