"""InferenceService: the host, one model server (and its replicas) that many TrainedModels share.

Users bring objects written for KServe 0.6. Every field of theirs that we do not honour yet has a place in
the schema, so that it is refused with a sentence instead of being pruned in silence: `UNSUPPORTED` below.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from manyserve.api.base import Meta, Opaque, Wire
from manyserve.api.hoststatus import InferenceServiceStatus
from manyserve.api.pod import Container, ContainerFields, Name, PodFields

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
SUPPORTED_PREDICTORS = ("triton", "sklearn", "xgboost", "lightgbm", "containers")
DEFAULT_PROTOCOLS = {"triton": "v2", "sklearn": "v1", "xgboost": "v1", "lightgbm": "v1", "containers": "v2"}
PROTOCOL_ENV = "PROTOCOL"
"""The variable in which a server of the user's own says its protocol, as in 0.6."""

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
    name: Annotated[Name | None, Field(description="Ignored: the server is always called kserve-container.")] = None
    storage_uri: Annotated[
        str | None,
        Field(
            max_length=2048,
            description="A model of the host's own. Not supported: a host has no storageUri, TrainedModels do.",
        ),
    ] = None


class TritonFields(ServerFields):
    """Triton, which speaks v2."""

    protocol_version: Annotated[
        Literal["v2"] | None, Field(description="Inference protocol; v2 is the one that is supported.")
    ] = None


class EitherFields(ServerFields):
    """A server that there is for both protocols."""

    protocol_version: Annotated[
        Literal["v1", "v2"] | None,
        Field(description="Inference protocol: v1, or unset, runs KServe's own server, v2 runs MLServer."),
    ] = None


_NO_STORAGE: dict[str, Any] = {
    "rule": "!has(self.storageUri)",
    "message": "storageUri is not supported on a multi-model host; place models with TrainedModels",
    "fieldPath": ".storageUri",
}


def _server(what: str) -> Any:
    return Field(description=what, json_schema_extra={"x-kubernetes-validations": [_NO_STORAGE]})


class PredictorSpec(PodFields):
    """The model server and how its pods run."""

    triton: Annotated[TritonFields | None, _server("Triton Inference Server.")] = None
    sklearn: Annotated[EitherFields | None, _server("scikit-learn server.")] = None
    xgboost: Annotated[EitherFields | None, _server("XGBoost server.")] = None
    lightgbm: Annotated[EitherFields | None, _server("LightGBM server.")] = None
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
            description="A server of one's own that speaks the v2 protocol with its repository extension, or v1 as "
            "KServe's own servers do when its env has PROTOCOL=v1; its env has MULTI_MODEL_SERVER=true.",
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
    def framework_server(self) -> ServerFields | None:
        """The server that the operator knows how to run, None for one of the user's own."""
        return self.triton or self.sklearn or self.xgboost or self.lightgbm

    @property
    def server(self) -> ContainerFields:
        """The server's container fields, whichever predictor it is."""
        return self.framework_server or (self.containers or (ContainerFields(),))[0]

    @property
    def name(self) -> str:
        """The predictor's name: `triton`, or `containers` for a server of the user's own; empty when none is given."""
        return next((name for name in SUPPORTED_PREDICTORS if getattr(self, name) is not None), "")

    @property
    def protocol(self) -> str:
        """The inference protocol that the server speaks, `v1` or `v2`."""
        given = getattr(self.framework_server, "protocol_version", None)
        if self.containers:
            given = next((each.value for each in self.containers[0].env or () if each.name == PROTOCOL_ENV), None)
        return given if given in ("v1", "v2") else DEFAULT_PROTOCOLS.get(self.name, "v2")


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
