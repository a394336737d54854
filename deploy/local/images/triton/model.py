"""A Triton backend for ONNX, in Python, for machines without the C++ backend.

Triton calls it for every model with `backend: "onnxruntime"` in its config.pbtxt. Users see the behaviour of the real
backend: model folders hold `1/model.onnx` and a complete `config.pbtxt`, and need no Python file. Strings come from
Triton as bytes, and go to onnxruntime as text and back.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One loaded model."""

    def initialize(self, args):
        """Load the model's file; an error becomes the reason of the failed load."""
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = Path(args["model_repository"]) / args["model_version"] / file
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]

    def execute(self, requests):
        """Answer each request by itself, so that a bad one does not fail the others."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            feed = {tensor.name(): _from_triton(tensor.as_numpy()) for tensor in request.inputs()}
            results = self.session.run(self.outputs, feed)
        except Exception as error:  # noqa: BLE001 - an error of the model is the answer of the request
            return triton.InferenceResponse([], triton.TritonError(str(error)))
        tensors = [triton.Tensor(name, _to_triton(value)) for name, value in zip(self.outputs, results, strict=True)]
        return triton.InferenceResponse(tensors)


def _from_triton(values):
    if values.dtype != np.object_:
        return values
    return np.array([value.decode() for value in values.flat], dtype=np.object_).reshape(values.shape)


def _to_triton(values):
    if values.dtype != np.object_:
        return values
    return np.array([value.encode() for value in values.flat], dtype=np.object_).reshape(values.shape)
