"""The object store of the demo and the tests: fake-gcs-server in a pod, with the walkthrough's models.

Inside the cluster it is `http://gcs.manyserve-store.svc.cluster.local`, by that full host name: it checks the Host
header. On the machine it is behind the gateway, under the host name of its Ingress.
"""

import urllib.request

from localcluster import api
from localcluster.cluster import load_images
from localcluster.paths import HERE, Cluster
from localcluster.say import step
from localcluster.wait import until

MANIFEST = HERE / "manifests" / "store.yaml"
HOST = "gcs.example.com"


def start(port: int) -> None:
    """Ensure the object store in the cluster on this port, reachable from inside and outside."""
    load_images(port, ["fake-gcs-server"])
    target = Cluster(port)
    with step("starting the object store"):
        api.kubectl(target, "apply", "-f", str(MANIFEST))
        api.kubectl(target, "-n", "manyserve-store", "rollout", "status", "deployment/gcs", "--timeout=60s")
        until("the store behind the gateway", lambda: _answers(target), limit=30)


def _answers(cluster: Cluster) -> bool:
    url = f"http://127.0.0.1:{cluster.gateway_port}/storage/v1/b"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers={"Host": HOST}), timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
