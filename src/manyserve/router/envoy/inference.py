"""Open Inference Protocol, as far as Envoy reads it: the methods that name a model, and the field with its name.

`grpc_field_extraction` needs a descriptor set. It skips fields that the set does not have.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_MODEL_NAME, _NAME = "model_name", "name"
METHODS = {
    "ModelInfer": _MODEL_NAME,
    "ModelStreamInfer": _MODEL_NAME,
    "ModelReady": _NAME,
    "ModelMetadata": _NAME,
    "ModelConfig": _NAME,
    "ModelStatistics": _NAME,
}
"""The field with the model's name, the first one of the request, by method."""
LOAD_API = ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")
_STREAMS = {"ModelStreamInfer"}
_TEXT = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def extractions() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """Return the fields to extract by method."""
    return {f"{SERVICE}.{method}": {"request_field_extractions": {field: {}}} for method, field in METHODS.items()}


def descriptor_set() -> bytes:
    """Return the serialized descriptor set."""
    files = descriptor_pb2.FileDescriptorSet()
    file = files.file.add(name="inference.proto", package=PACKAGE, syntax="proto3")
    service = file.service.add(name=SERVICE.removeprefix(f"{PACKAGE}."))
    for method, field in METHODS.items():
        request = file.message_type.add(name=f"{method}Request")
        request.field.add(name=field, number=1, type=_TEXT, label=_OPTIONAL)
        file.message_type.add(name=f"{method}Response")
        is_stream = method in _STREAMS
        service.method.add(
            name=method,
            input_type=f".{PACKAGE}.{method}Request",
            output_type=f".{PACKAGE}.{method}Response",
            client_streaming=is_stream,
            server_streaming=is_stream,
        )
    return bytes(files.SerializeToString(deterministic=True))
