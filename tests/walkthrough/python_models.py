"""Models of Triton's Python backend, and ensembles of them, in the object store.

Each doubles a number. The code of `initialize` makes a load slow, or ends the server.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from textwrap import indent

from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import upload

BUCKET = "kfserving-examples"
TENSOR = {"name": "IN", "datatype": "FP32", "shape": [1], "data": [5]}
KILL_SERVER = """
import os, resource, urllib.request
for pid in filter(str.isdecimal, os.listdir("/proc")):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        if b"--model-repository" in file.read():
            resource.prlimit(int(pid), resource.RLIMIT_CPU, (1, 1))
while True:
    urllib.request.urlopen("http://localhost:8080/v2/health/live").read()
"""
"""The kernel kills the server after a second of CPU time, so the code keeps it busy.

The server is the first process of its container, and ignores SIGKILL of the others in it.
"""
_CODE = """
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
{initialize}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        values = triton.get_input_tensor_by_name(request, "IN").as_numpy() * 2
        return triton.InferenceResponse([triton.Tensor("OUT", values.astype("float32"))])
"""
_TENSORS = """
max_batch_size: 0
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
_MODEL = f'backend: "python"{_TENSORS}instance_group [ {{ kind: KIND_CPU count: 1 }} ]\n'
_STEP = """{ model_name: "%s" model_version: -1
  input_map { key: "IN" value: "%s" } output_map { key: "OUT" value: "%s" } }"""


def upload_model(cluster: DemoCluster, kubectl: Kubectl, name: str, initialize: str = "pass") -> str:
    """Upload a model with this code in its initialization, and return its URI."""
    return _upload(cluster, kubectl, name, model_files(initialize))


def model_files(initialize: str = "pass") -> dict[str, str]:
    """Return the files of a model by path."""
    code = _CODE.format(initialize=indent(initialize.strip(), " " * 8))
    return {"config.pbtxt": _MODEL, "1/model.py": code}


def upload_ensemble(cluster: DemoCluster, kubectl: Kubectl, name: str, first: str, last: str) -> str:
    """Upload an ensemble of two steps, and return its URI."""
    steps = ", ".join((_STEP % (first, "IN", "BETWEEN"), _STEP % (last, "BETWEEN", "OUT")))
    config = f'platform: "ensemble"{_TENSORS}ensemble_scheduling {{ step [ {steps} ] }}\n'
    return _upload(cluster, kubectl, name, {"config.pbtxt": config, "1/": ""})


def infer(cluster: DemoCluster, kubectl: Kubectl, name: str) -> tuple[int, list[float]]:
    """Return the status and the numbers of an answer of a model of `mms`, through the gateway."""
    request = urllib.request.Request(
        f"{cluster.gateway}/v2/models/{name}/infer",
        data=json.dumps({"inputs": [TENSOR]}).encode(),
        headers={"Host": f"mms.{kubectl.namespace}.example.com", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)["outputs"][0]["data"]
    except urllib.error.HTTPError as error:
        return error.code, []


def _upload(cluster: DemoCluster, kubectl: Kubectl, name: str, files: dict[str, str]) -> str:
    folder = f"python/{kubectl.namespace}/{name}"
    for path, text in files.items():
        upload(cluster, BUCKET, f"{folder}/{path}", text.encode())
    return f"gs://{BUCKET}/{folder}"
