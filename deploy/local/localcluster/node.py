"""A node: containerd, a kubelet and kube-proxy in namespaces and a cgroup of their own.

`unshare` gives the node its own mounts, machine name and processes, in the network namespace of `network`. It runs
`node.sh` there as the first process. When `node.sh` ends, or when `unshare` is killed, the kernel ends every
container of the node. This module writes all configuration beforehand.

The kubelet keeps upstream's defaults for everything that a user can measure: pods are synced every minute, and
ConfigMaps are watched. Only limits that are too low or too high for a small shared machine are set.
"""

import json
from pathlib import Path
from typing import Any

from localcluster import api, cgroups, host, network, process
from localcluster.paths import FABRIC, POD_RANGE, Node, cache
from localcluster.say import step
from localcluster.wait import until

SCRIPT = Path(__file__).with_name("node.sh")
SOCKET = "/run/containerd/containerd.sock"
PAUSE = "docker.io/manyserve/pause:1"
UNSHARE = ["unshare", "--mount", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]


def start(node: Node) -> None:
    """Start a node; `wait` waits for it."""
    for name in ("kubelet", "containerd", "cni", "log/pods", "log/containers"):
        (node.folder / name).mkdir(parents=True)
    network.join(node)
    cgroups.make(node)
    _write(node, "net.d/10-bridge.conflist", _network(node))
    _write(node, "kubelet.json", _kubelet(node))
    _write(node, "kube-proxy.json", _proxy(node))
    (node.folder / "containerd.toml").write_text(_containerd(node))
    (node.folder / "resolv.conf").write_text(f"nameserver {FABRIC}\n")
    command = [*UNSHARE, "bash", SCRIPT, node.name, node.address, node.folder, cache() / "bin"]
    process.start(node.cluster, node.name, command, netns=node.netns)


def wait(node: Node) -> None:
    """Wait until the node is ready."""

    def look() -> bool:
        process.must_live(node.cluster, node.name)
        return api.node_ready(node)

    with step(f"waiting for {node.name}"):
        until(f"{node.name} (see the logs in {node.folder})", look, limit=120)


def inside(node: Node) -> list[str]:
    """Return the command prefix that runs a command in the node's namespaces."""
    outer = process.find(node.cluster, node.name)
    children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    return ["nsenter", f"--target={children[0]}", "--net", "--mount", "--pid", "--uts"]


def ctr(node: Node, *words: str) -> str:
    """Run containerd's client on the node."""
    return process.run([*inside(node), "ctr", "--address", SOCKET, "--namespace", "k8s.io", *words])


def containerd_answers(node: Node) -> bool:
    """Return whether containerd accepts commands."""
    process.must_live(node.cluster, node.name)
    return (node.folder / "containerd.ready").exists()


def _write(node: Node, name: str, content: dict[str, Any]) -> None:
    path = node.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def _network(node: Node) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/var/lib/cni/networks",
    }
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "manyserve", "plugins": [bridge, ports]}


def _kubelet(node: Node) -> dict[str, Any]:
    keys = node.cluster.folder / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.path(node),
        "containerRuntimeEndpoint": f"unix://{SOCKET}",
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{keys}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{keys}/kubelet.crt",
        "tlsPrivateKeyFile": f"{keys}/kubelet.key",
        "clusterDNS": [FABRIC],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{node.folder}/resolv.conf",
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "imageGCHighThresholdPercent": 100,  # there is no registry to fetch an image from again
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    }


def _proxy(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": f"{node.cluster.folder}/proxy.kubeconfig"},
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": node.name,
        # these limits belong to the machine, not to a network namespace
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _containerd(node: Node) -> str:
    cri = "io.containerd.grpc.v1.cri"
    return f"""version = 2
root = "{node.folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."{cri}"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
[plugins."{cri}".cni]
  bin_dir = "{host.cni_folder()}"
  conf_dir = "{node.folder}/net.d"
[plugins."{cri}".containerd]
  default_runtime_name = "runc"
[plugins."{cri}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."{cri}".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""
