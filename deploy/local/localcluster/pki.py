"""The certificates of one cluster, made by openssl: one authority for the cluster, one for the front proxy.

Keys are P-256, and one command makes a key with its certificate, so all of them take half a second.
"""

import secrets
from pathlib import Path

from localcluster.paths import FABRIC, MAX_NODES, Cluster
from localcluster.process import run

API_NAMES = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
SERVER, CLIENT = "serverAuth", "clientAuth"


def make(cluster: Cluster) -> None:
    """Create every key and certificate of a cluster."""
    folder = folder_of(cluster)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    for authority in ("ca", "front-proxy-ca"):
        _authority(folder, authority)
    hosts = [f"DNS:{name}" for name in (*API_NAMES, "kubernetes.default.svc.cluster.local")]
    hosts += [f"IP:{address}" for address in ("127.0.0.1", "10.96.0.1", FABRIC)]
    nodes = [f"DNS:node{i},IP:{FABRIC}{i}" for i in range(1, MAX_NODES + 1)]
    _certificate(folder, "apiserver", "/CN=kube-apiserver", SERVER, names=hosts)
    _certificate(folder, "kubelet", "/CN=kubelet", SERVER, names=nodes)
    _certificate(folder, "apiserver-kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client", CLIENT)
    _certificate(folder, "front-proxy-client", "/CN=front-proxy-client", CLIENT, authority="front-proxy-ca")
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key"])


def folder_of(cluster: Cluster) -> Path:
    """Return the folder of a cluster's certificates."""
    return cluster.folder / "pki"


def _new(folder: Path, name: str, subject: str) -> list[object]:
    """Return the command that creates a key and a certificate for it."""
    files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256", "-days", "3650"]
    serial = ["-set_serial", f"0x{secrets.token_hex(8)}"]
    return ["openssl", "req", "-x509", *kind, *serial, "-subj", subject, *files]


def _authority(folder: Path, name: str) -> None:
    """Create a certificate authority."""
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    run([*_new(folder, name, f"/CN=manyserve-{name}"), "-addext", usage])


def _certificate(
    folder: Path, name: str, subject: str, usage: str, names: list[str] | None = None, authority: str = "ca"
) -> None:
    """Create a certificate signed by one of the authorities."""
    signer = ["-CA", folder / f"{authority}.crt", "-CAkey", folder / f"{authority}.key"]
    facts = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", f"extendedKeyUsage={usage}"]
    if names:
        facts.append(f"subjectAltName={','.join(names)}")
    run([*_new(folder, name, subject), *signer, *(word for fact in facts for word in ("-addext", fact))])
