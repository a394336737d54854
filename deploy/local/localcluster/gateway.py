"""The ingress gateway: Contour as its control plane, Envoy as its proxy; two processes in the cluster's namespace.

Envoy listens on port 80 of the bridge, and `relay` forwards PORT+1 of the machine to it. Contour watches Ingresses of
the class `contour`, which is the default class here, and writes Envoy's address into their status. Its own kinds must
be served before it starts.
"""

import socket

from localcluster import api, process
from localcluster.paths import FABRIC, HERE, Cluster, binary
from localcluster.say import step
from localcluster.tools import TOOLS
from localcluster.wait import until

CLASS = HERE / "manifests" / "ingressclass.yaml"
KINDS = ("httpproxies", "tlscertificatedelegations", "extensionservices", "contourconfigurations")


def start(cluster: Cluster) -> None:
    """Start the gateway; `wait` waits for it."""
    with step("starting the gateway"):
        crds = TOOLS["contour"].home / "01-crds.yaml"
        api.kubectl(cluster, "apply", "--server-side", "-f", str(crds), "-f", str(CLASS))
        until("Contour's kinds", lambda: _kinds_served(cluster), limit=30)
        process.start(cluster, "contour", _contour(cluster), netns=cluster.netns)
        boot = cluster.folder / "envoy.json"
        admin = ["--admin-address", str(cluster.folder / "envoy.sock")]
        process.run([binary("contour"), "bootstrap", *admin, "--xds-address=127.0.0.1", "--xds-port=8001", boot])
        process.start(cluster, "envoy", _envoy(cluster), netns=cluster.netns)


def wait(cluster: Cluster) -> None:
    """Wait until Envoy has the configuration from Contour."""

    def look() -> bool:
        process.must_live(cluster, "contour")
        process.must_live(cluster, "envoy")
        return _live(cluster)

    with step("waiting for the gateway"):
        until("Envoy", look, limit=60)


def _live(cluster: Cluster) -> bool:
    """Query Envoy's administration socket; it is live when it has a first configuration."""
    try:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(cluster.folder / "envoy.sock"))
            admin.sendall(b"GET /ready HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")
            return b"LIVE" in admin.makefile("rb").read()
    except OSError:
        return False


def _kinds_served(cluster: Cluster) -> bool:
    group = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    return all(api.holds(api.get(cluster, f"{group}/{kind}.projectcontour.io"), "Established") for kind in KINDS)


def _contour(cluster: Cluster) -> list[str]:
    return [
        binary("contour"),
        "serve",
        f"--kubeconfig={cluster.folder / 'addons.kubeconfig'}",
        "--insecure",  # between two processes on one loopback
        "--disable-leader-election",
        f"--ingress-status-address={FABRIC}",
        f"--envoy-service-http-address={FABRIC}",
        "--envoy-service-http-port=80",
        "--envoy-http-access-log=/dev/null",
    ]


def _envoy(cluster: Cluster) -> list[str]:
    return [
        binary("envoy"),
        *("--config-path", str(cluster.folder / "envoy.json")),
        *("--service-cluster", "contour"),
        *("--service-node", cluster.name),
        *("--log-level", "warning"),
        "--disable-hot-restart",  # its shared memory would be the whole machine's
    ]
