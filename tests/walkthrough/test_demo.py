"""Output of `make demo`: the columns, log lines, answers and refusals of the walkthrough."""

from __future__ import annotations

import json
import re

from tests.support.figures import Figures
from tests.walkthrough.cluster import DemoCluster

HOST_HEADER = "NAME URL READY PREV LATEST PREVROLLEDOUTREVISION LATESTREADYREVISION AGE"


def rows(text: str, header: str) -> list[list[str]]:
    """Return the rows of the table under a header."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if " ".join(line.split()) == header)
    table = []
    for line in lines[start + 1 :]:
        if not line.strip() or line.startswith(("\x1b", "$")):
            break
        table.append(line.split())
    return table


def test_demo_host_prints_the_columns_of_the_walkthrough(cluster: DemoCluster) -> None:
    (row,) = rows(cluster.demo, HOST_HEADER)
    assert row[:-1] == [
        "triton-mms",
        "http://triton-mms.default.example.com",
        "True",
        "100",
        "triton-mms-predictor-default-00001",
    ]


def test_demo_first_model_prints_the_columns_of_the_walkthrough(cluster: DemoCluster) -> None:
    (row,) = rows(cluster.demo, "NAME URL READY AGE")
    assert row[:-1] == ["cifar10", "http://triton-mms.default.example.com/v2/models/cifar10/infer", "True"]


def test_demo_agent_log_has_the_steps_of_the_walkthrough_in_order(cluster: DemoCluster) -> None:
    lines = [json.loads(line) for line in cluster.demo.splitlines() if line.startswith('{"level"')]
    assert all(set(line) >= {"level", "ts", "logger", "caller", "msg"} for line in lines)
    log = "\n".join(line["msg"] for line in lines)
    steps = (
        r"adding model cifar10",
        r"Worker is started for cifar10",
        r"Downloading gs://kfserving-examples/models/torchscript/cifar10",
        r"/mnt/models/cifar10",
        r"SUCCESS\.[0-9a-f]{64}",
        r"loaded model cifar10",
        r"completion event for model cifar10, in flight ops 0",
    )
    assert re.search(".*".join(steps), log, re.DOTALL), log


def test_demo_request_returns_the_metadata_of_the_walkthrough(cluster: DemoCluster) -> None:
    answers = [json.loads(line) for line in cluster.demo.splitlines() if line.startswith('{"name"')]
    cifar = next(each for each in answers if each["name"] == "cifar10")
    assert cifar["versions"] == ["1"]
    assert cifar["inputs"] == [{"name": "INPUT__0", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
    assert cifar["outputs"] == [{"name": "OUTPUT__0", "datatype": "FP32", "shape": [-1, 10]}]
    strings = next(each for each in answers if each["name"] == "simple-string")
    tensors = [(each["name"], each["datatype"], each["shape"]) for each in strings["inputs"] + strings["outputs"]]
    assert tensors == [(name, "BYTES", [-1, 16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]


def test_demo_model_answers_an_infer_request(cluster: DemoCluster) -> None:
    line = next(line for line in cluster.demo.splitlines() if line.startswith('{"model_name":"simple-string"'))
    sums = next(each["data"] for each in json.loads(line)["outputs"] if each["name"] == "OUTPUT0")
    assert sums == [str(2 * number) for number in range(1, 17)]


def test_demo_refuses_a_third_gigabyte_with_the_figures(cluster: DemoCluster) -> None:
    refusal = next(line for line in cluster.demo.splitlines() if "1Gi does not fit on triton-mms" in line)
    assert "2Gi of 2Gi is used by 2 models (largest: cifar10 1Gi, simple-string 1Gi), 0 free" in refusal


def test_demo_refuses_a_framework_that_triton_does_not_support(cluster: DemoCluster) -> None:
    refusal = next(line for line in cluster.demo.splitlines() if "does not support framework sklearn" in line)
    assert "it supports: tensorrt, tensorflow, onnx, pytorch, caffe2" in refusal


def test_demo_load_test_succeeds_for_all_requests(cluster: DemoCluster, figures: Figures) -> None:
    assert re.search(r"Success\s+\[ratio\]\s+100\.00%", cluster.demo)
    answered = re.search(r"Status Codes\s+\[code:count\]\s+200:(\d+)", cluster.demo)
    assert answered
    assert answered[1] == "600"
    latencies = re.search(r"Latencies.*\]\s+(.*)", cluster.demo)
    assert latencies
    figures.take(
        "perf Job: requests answered 200, of 600", int(answered[1]), "answers", exactly=600, peer="KFServing: 600"
    )
