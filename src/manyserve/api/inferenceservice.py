"""InferenceService: the host, one model server (and its replicas) that many TrainedModels share.

Users bring objects written for KServe 0.6. Every field of theirs that we do not honour yet has a place in
the schema, so that it is refused with a sentence instead of being pruned in silence: `UNSUPPORTED` below.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from manyserve.api.base import Meta, Opaque, Wire
from manyserve.api.hoststatus import InferenceServiceStatus
from manyserve.api.pod import Container, ContainerFields, PodFields

FRAMEWORK_PREDICTORS = (
    "triton",
    "sklearn",
    "xgboost",
    "lightgbm",
    "tensorflow",
    "pytorch",
    "onnx",
    "pmml",
    "paddle",
)
PREDICTORS = (*FRAMEWORK_PREDICTORS, "containers")
SUPPORTED_PREDICTORS = ("triton", "containers")

UNSUPPORTED = (
    *(each for each in PREDICTORS if each not in SUPPORTED_PREDICTORS),
    "canaryTrafficPercent",
    "containerConcurrency",
    "timeout",
    "batcher",
    "logger",
)
"""Fields of `spec.predictor` that are refused until they are done."""

NAME_LIMIT = 45
"""`H-predictor-default` must be a DNS label of at most 63 characters."""


def _later(what: str) -> Any:
    return Field(description=f"{what} Not supported yet: refused.")


def _exclusive(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(each, each).size() == 1"


_ONE_PREDICTOR = {
    "rule": _exclusive(PREDICTORS),
    "message": f"exactly one predictor must be given, one of: {', '.join(PREDICTORS)}",
}
_UNSUPPORTED_RULES = [
    {"rule": f"!has(self.{name})", "message": f"{name} is not supported yet", "fieldPath": f".{name}"}
    for name in UNSUPPORTED
]
_REPLICAS = {
    "rule": "!has(self.maxReplicas) || self.maxReplicas >= (has(self.minReplicas) ? self.minReplicas : 1)",
    "message": "maxReplicas must not be below minReplicas (which is 1 when unset)",
    "fieldPath": ".maxReplicas",
}


class ServerFields(ContainerFields):
    """A model server that the operator knows how to run."""

    runtime_version: Annotated[
        str | None, Field(max_length=128, description="Tag of the image; unset: the configured one.")
    ] = None
    protocol_version: Annotated[
        Literal["v2"] | None, Field(description="Inference protocol; v2 is the one that is supported.")
    ] = None
    storage_uri: Annotated[
        str | None,
        Field(
            max_length=2048,
            description="A model of the host's own. Not supported: a host has no storageUri, TrainedModels do.",
        ),
    ] = None


_SERVER = Field(
    description="Triton Inference Server.",
    json_schema_extra={
        "x-kubernetes-validations": [
            {
                "rule": "!has(self.storageUri)",
                "message": "storageUri is not supported on a multi-model host; place models with TrainedModels",
                "fieldPath": ".storageUri",
            }
        ]
    },
)


class PredictorSpec(PodFields):
    """The model server and how its pods run."""

    triton: Annotated[ServerFields | None, _SERVER] = None
    sklearn: Annotated[Opaque | None, _later("scikit-learn server.")] = None
    xgboost: Annotated[Opaque | None, _later("XGBoost server.")] = None
    lightgbm: Annotated[Opaque | None, _later("LightGBM server.")] = None
    tensorflow: Annotated[Opaque | None, _later("TensorFlow Serving.")] = None
    pytorch: Annotated[Opaque | None, _later("PyTorch server.")] = None
    onnx: Annotated[Opaque | None, _later("ONNX Runtime server.")] = None
    pmml: Annotated[Opaque | None, _later("PMML server.")] = None
    paddle: Annotated[Opaque | None, _later("Paddle server.")] = None
    containers: Annotated[
        tuple[Container, ...] | None,
        Field(
            min_length=1,
            max_length=1,
            description="A server of one's own that speaks the v2 protocol with its repository extension; "
            "its env has MULTI_MODEL_SERVER=true.",
        ),
    ] = None
    min_replicas: Annotated[int | None, Field(ge=1, le=1000, description="Fewest replicas; unset: 1.")] = None
    max_replicas: Annotated[
        int | None,
        Field(ge=1, le=1000, description="Most replicas; above minReplicas an autoscaler is made."),
    ] = None
    scale_target: Annotated[
        int | None, Field(ge=1, le=100000, description="Percent of the request to aim at; unset: 80.")
    ] = None
    scale_metric: Annotated[Literal["cpu", "memory"] | None, Field(description="What is scaled by; unset: cpu.")] = None
    canary_traffic_percent: Annotated[int | None, _later("Traffic for the newest revision.")] = None
    container_concurrency: Annotated[int | None, _later("Requests at once a replica.")] = None
    timeout: Annotated[int | None, _later("Seconds for a request.")] = None
    batcher: Annotated[Opaque | None, _later("Batching of requests.")] = None
    logger: Annotated[Opaque | None, _later("Logging of requests.")] = None

    @property
    def server(self) -> ContainerFields:
        """The server's container fields, whichever predictor it is."""
        return self.triton or (self.containers or (ContainerFields(),))[0]


class InferenceServiceSpec(Wire):
    """The predictor; transformers and explainers are not supported yet."""

    predictor: Annotated[
        PredictorSpec,
        Field(
            description="The model server.",
            json_schema_extra={"x-kubernetes-validations": [_ONE_PREDICTOR, *_UNSUPPORTED_RULES, _REPLICAS]},
        ),
    ]
    transformer: Annotated[Opaque | None, _later("Steps before and after the predictor.")] = None
    explainer: Annotated[Opaque | None, _later("Explanations.")] = None


class InferenceService(Wire):
    """A model server that many TrainedModels share."""

    metadata: Meta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus = InferenceServiceStatus()
