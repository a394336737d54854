"""etcd, the API server, the controller manager and the scheduler: plain processes, one of each.

With nodes they run in the cluster's own network namespace, and the API server listens on its bridge. Without nodes
(`--control-plane-only`, for contract tests) they run on the machine's loopback, without root. Admission is upstream's
default, so Pod Security, RBAC and webhooks behave as on a real cluster. etcd does not fsync: a cluster that a power
cut ends is removed anyway.
"""

from localcluster import access, api, pki, process
from localcluster.paths import FABRIC, SERVICE_RANGE, Cluster, binary
from localcluster.say import step
from localcluster.wait import until


def start(cluster: Cluster) -> None:
    """Start the control plane and wait until it serves and its controllers work."""
    pki.make(cluster)
    access.make(cluster)
    with step("starting the control plane"):
        _start(cluster, "etcd", _etcd(cluster))
        _start(cluster, "kube-apiserver", _apiserver(cluster))
        until("the API server", lambda: _ready(cluster), limit=120)
        _start(cluster, "kube-controller-manager", _controller_manager(cluster))
        _start(cluster, "kube-scheduler", _scheduler(cluster))
        until("the controllers", lambda: _controllers_work(cluster), limit=60)


def _start(cluster: Cluster, name: str, flags: list[str]) -> None:
    process.start(cluster, name, [binary(name), *flags], netns=cluster.netns)


def _ready(cluster: Cluster) -> bool:
    process.must_live(cluster, "etcd")
    process.must_live(cluster, "kube-apiserver")
    return api.ready(cluster)


def _controllers_work(cluster: Cluster) -> bool:
    """Poll for the default service account, the first object that controllers create."""
    process.must_live(cluster, "kube-controller-manager")
    process.must_live(cluster, "kube-scheduler")
    return bool(api.get(cluster, "/api/v1/namespaces/default/serviceaccounts/default"))


def _etcd(cluster: Cluster) -> list[str]:
    client, peer = (f"http://127.0.0.1:{cluster.port + i}" for i in (2, 3))
    return [
        f"--data-dir={cluster.folder / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def _apiserver(cluster: Cluster) -> list[str]:
    keys = pki.folder_of(cluster)
    return [
        f"--etcd-servers=http://127.0.0.1:{cluster.port + 2}",
        f"--secure-port={cluster.port}",
        *_apiserver_address(cluster),
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt",
        f"--token-auth-file={cluster.folder}/tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={keys}/sa.key",
        f"--service-account-signing-key-file={keys}/sa.key",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={keys}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={keys}/apiserver-kubelet-client.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={keys}/front-proxy-client.crt",
        f"--proxy-client-key-file={keys}/front-proxy-client.key",
        "--enable-aggregator-routing=true",  # webhooks are called by their pods' addresses
        "--profiling=false",
    ]


def _apiserver_address(cluster: Cluster) -> list[str]:
    if cluster.control_plane_only:
        return ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
    return ["--bind-address=0.0.0.0", f"--advertise-address={FABRIC}"]


def _controller_manager(cluster: Cluster) -> list[str]:
    keys = pki.folder_of(cluster)
    return [
        *_controller(cluster, "controller-manager", cluster.port + 4),
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={keys}/sa.key",
        f"--root-ca-file={keys}/ca.crt",
        f"--cluster-signing-cert-file={keys}/ca.crt",
        f"--cluster-signing-key-file={keys}/ca.key",
        f"--cluster-name={cluster.name}",
        f"--flex-volume-plugin-dir={cluster.folder}/flexvolume",
        "--kube-api-qps=300",  # upstream's 20 makes its start slow
        "--kube-api-burst=600",
        *_controllers(cluster),
    ]


def _controllers(cluster: Cluster) -> list[str]:
    """Return the list of controllers. Simulated pods have loopback addresses, and no Endpoints may hold those."""
    return ["--controllers=*,-endpoints-controller,-endpointslice-controller"] if cluster.control_plane_only else []


def _scheduler(cluster: Cluster) -> list[str]:
    return _controller(cluster, "scheduler", cluster.port + 5)


def _controller(cluster: Cluster, user: str, port: int) -> list[str]:
    """Return the flags that the two controllers share."""
    kinds = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return [
        *(f"--{kind}={cluster.folder}/{user}.kubeconfig" for kind in kinds),
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--leader-elect=false",
        "--profiling=false",
    ]
