"""The local cluster on a real machine: it starts, serves pods, refuses ports of other programs, and is removed.

The module has its own cluster on its own port, so that a test can break it.
"""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.paths import Cluster, binary
from manyserve.api import names, routerenv
from manyserve.api.inferenceservice import HETEROGENEOUS
from manyserve.plan.children.router_pod import build_router_template
from tests.support import make

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "local" / "manifests"
HERE = Cluster(port=22300)


def localcluster(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "localcluster", *words, "--port", str(HERE.port)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "deploy" / "local")}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def kubectl(*words: str) -> str:
    command = [binary("kubectl"), "--kubeconfig", str(HERE.kubeconfig), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def running() -> Iterator[None]:
    up = localcluster("up")
    assert up.returncode == 0, up.stderr
    yield
    assert localcluster("down").returncode == 0
    assert remains() == []


def remains() -> list[str]:
    """Return what is left of the cluster on this machine."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if HERE.name in line]
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{HERE.name}")]
    namespaces = [str(path) for path in Path("/run/netns").glob(f"{HERE.name}*")]
    folders = [str(HERE.folder)] if HERE.folder.exists() else []
    return [*mounts, *cgroups, *namespaces, *folders, *processes()]


def processes() -> list[str]:
    """Return the command lines that name the cluster's folder."""
    lines = (file.read_bytes() for file in _command_lines() if file.exists())
    return [line.decode().replace("\0", " ") for line in lines if str(HERE.folder).encode() in line]


def _command_lines() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*/cmdline")


def test_cluster_up_again_finds_it_healthy() -> None:
    again = localcluster("up")
    assert (again.returncode, "already running" in again.stderr) == (0, True)


def test_cluster_pod_resolves_services_and_reaches_store() -> None:
    assert localcluster("store").returncode == 0
    kubectl("create", "namespace", "strict")
    kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    kubectl("-n", "strict", "apply", "-f", str(MANIFESTS / "client.yaml"))
    kubectl("-n", "strict", "wait", "--for=condition=Ready", "pod/client", "--timeout=30s")
    url = "http://gcs.manyserve-store.svc.cluster.local/storage/v1/b/kfserving-examples/o"
    listed = json.loads(kubectl("-n", "strict", "exec", "client", "--", "wget", "-qO-", url))
    objects = {item["name"] for item in listed["items"]}
    assert "models/torchscript/cifar10/1/model.onnx" in objects
    assert "models/tensorrt/simple_string/config.pbtxt" in objects


def test_machine_reaches_ingress_and_uploads_to_store() -> None:
    assert localcluster("store").returncode == 0
    gateway = f"http://127.0.0.1:{HERE.gateway_port}"
    upload = f"{gateway}/upload/storage/v1/b/kfserving-examples/o?uploadType=media&name=new/file"
    request = urllib.request.Request(upload, data=b"new", headers={"Host": "gcs.example.com"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["size"] == "3"


def test_cluster_runs_the_routers_of_a_heterogeneous_host(tmp_path: Path) -> None:
    images = localcluster("images", "manyserve", "envoy")
    assert images.returncode == 0, images.stderr
    own = ("-n", "routers")
    kubectl("create", "namespace", "routers")
    kubectl("label", "namespace", "routers", "pod-security.kubernetes.io/enforce=restricted")
    kubectl(*own, "apply", "-f", str(MANIFESTS / "client.yaml"))
    kubectl(*own, "create", "configmap", names.router("triton-mms"), f"--from-literal={routerenv.PODS_KEY}=[]")
    (tmp_path / "router.json").write_text(json.dumps(router_pod()))
    kubectl(*own, "apply", "-f", str(tmp_path / "router.json"))
    kubectl(*own, "wait", "--for=condition=Ready", "pod/client", "pod/router", "--timeout=90s")
    address = kubectl(*own, "get", "pod", "router", "-o", "jsonpath={.status.podIP}")
    fetch = (*own, "exec", "client", "--", "wget", "-qO-")
    status = json.loads(kubectl(*fetch, f"http://{address}:{routerenv.ROUTER_PORT}/status"))
    assert (status["ready"], status["models"]) == (True, [])
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl(*fetch, f"http://{address}:{names.HTTP_PORT}/v2/models/unknown")
    assert "404 Not Found" in refused.value.stderr


def router_pod() -> dict[str, Any]:
    """Return a pod of the routers, with the images in the values of the local cluster."""
    values = yaml.safe_load((ROOT / "deploy" / "local" / "values.yaml").read_text())
    image, router = values["image"], values["config"]["router"]
    config = {"image": f"{image['repository']}:{image['tag']}", "envoyImage": router["envoyImage"]}
    template = build_router_template(make.host(allocation=HETEROGENEOUS), make.config(router=config))
    metadata = template["metadata"] | {"name": "router"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_cluster_up_refuses_port_of_other_program_in_one_sentence() -> None:
    cluster = Cluster(port=22350)
    command = [sys.executable, "-m", "localcluster", "up", "--control-plane-only", "--port", str(cluster.port)]
    env = os.environ | {"PYTHONPATH": str(ROOT / "deploy" / "local")}
    with socket.create_server(("127.0.0.1", cluster.port)):
        refused = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == "port 22350 is in use by another program: choose another with --port\n"


def test_cluster_up_starts_anew_after_everything_was_killed() -> None:
    for file in (HERE.folder / "pid").iterdir():
        os.kill(int(file.read_text().split()[0]), 9)
    assert localcluster("status").returncode == 1
    up = localcluster("up")
    assert up.returncode == 0, up.stderr
    assert "node1" in kubectl("get", "nodes")
