"""The cluster's DNS: CoreDNS as a plain process on the bridge, at the address in the pods' resolv.conf."""

from localcluster import process
from localcluster.paths import FABRIC, Cluster, binary

COREFILE = """.:53 {{
 bind {address}
 errors
 ready 127.0.0.1:8181
 kubernetes cluster.local in-addr.arpa ip6.arpa {{
  kubeconfig {kubeconfig}
  pods insecure
 }}
 cache 5
}}
"""


def start(cluster: Cluster) -> None:
    """Start it; it answers as soon as it has listed the Services."""
    file = cluster.folder / "Corefile"
    file.write_text(COREFILE.format(address=FABRIC, kubeconfig=cluster.folder / "addons.kubeconfig"))
    process.start(cluster, "coredns", [binary("coredns"), "-conf", file], netns=cluster.netns)
