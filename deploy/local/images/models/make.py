"""Create the two models of the walkthrough's storage URIs, byte for byte the same each time.

`cifar10` is a small convolutional network with the names, types and shapes of KFServing's sample; `simple_string`
adds and subtracts two rows of sixteen integers that are given as strings, as Triton's sample of that name does. Both
are ONNX, the format of the local Triton.

    python make.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BUCKET = "kfserving-examples/models"

CONFIG = """backend: "onnxruntime"
platform: "onnxruntime_onnx"
max_batch_size: 0
input [
{inputs}
]
output [
{outputs}
]
instance_group [ {{ count: 1, kind: KIND_CPU }} ]
"""


def main(folder: Path) -> None:
    """Write both model folders below `folder`."""
    image, scores = ("INPUT__0", "TYPE_FP32", [-1, 3, 32, 32]), ("OUTPUT__0", "TYPE_FP32", [-1, 10])
    _write(folder / BUCKET / "torchscript" / "cifar10", cifar10(), [image], [scores])
    rows = {name: (name, "TYPE_STRING", [-1, 16]) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")}
    inputs, outputs = [rows["INPUT0"], rows["INPUT1"]], [rows["OUTPUT0"], rows["OUTPUT1"]]
    _write(folder / BUCKET / "tensorrt" / "simple_string", simple_string(), inputs, outputs)


def cifar10() -> onnx.GraphProto:
    """Two convolutions, an average and a linear layer, with fixed weights."""
    random = np.random.RandomState(10)  # its stream never changes between releases of numpy
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (16, 8, 3, 3), "b2": (16,), "w3": (16, 10), "b3": (10,)}
    weights = [
        numpy_helper.from_array((random.uniform(-1, 1, shape) / 4).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    window = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["INPUT__0", "w1", "b1"], ["c1"], **window),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], **window),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("GlobalAveragePool", ["r2"], ["average"]),
        helper.make_node("Flatten", ["average"], ["features"]),
        helper.make_node("Gemm", ["features", "w3", "b3"], ["OUTPUT__0"]),
    ]
    image = helper.make_tensor_value_info("INPUT__0", TensorProto.FLOAT, ["batch", 3, 32, 32])
    scores = helper.make_tensor_value_info("OUTPUT__0", TensorProto.FLOAT, ["batch", 10])
    return helper.make_graph(nodes, "cifar10", [image], [scores], weights)


def simple_string() -> onnx.GraphProto:
    """OUTPUT0 is the sum and OUTPUT1 the difference of INPUT0 and INPUT1, strings in and out."""
    nodes = [helper.make_node("Cast", [f"INPUT{i}"], [f"number{i}"], to=TensorProto.INT64) for i in range(2)]
    for i, operation in enumerate(("Add", "Sub")):
        nodes.append(helper.make_node(operation, ["number0", "number1"], [f"result{i}"]))
        nodes.append(helper.make_node("Cast", [f"result{i}"], [f"OUTPUT{i}"], to=TensorProto.STRING))
    row = [
        helper.make_tensor_value_info(name, TensorProto.STRING, ["batch", 16])
        for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")
    ]
    return helper.make_graph(nodes, "simple_string", row[:2], row[2:])


Tensor = tuple[str, str, list[int]]


def _write(folder: Path, graph: onnx.GraphProto, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    """Write one model folder as Triton lays it out."""
    model = helper.make_model(
        graph, producer_name="manyserve", opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    (folder / "config.pbtxt").write_text(CONFIG.format(inputs=_lines(inputs), outputs=_lines(outputs)))


def _lines(tensors: list[Tensor]) -> str:
    return ",\n".join(f'  {{ name: "{name}", data_type: {kind}, dims: {dims} }}' for name, kind, dims in tensors)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
