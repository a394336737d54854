"""InferenceService: the host, a model server with its replicas that many TrainedModels share.

Objects may have the form of KFServing 0.6, or that of KServe. The server is the field of its framework (`triton`), or
the field `model`, as KServe 0.8 and newer store it. Both mean the same, and neither is rewritten. `api.unsupported`
lists the fields that are not supported yet.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from manyserve.api.deploymentstrategy import DeploymentStrategy
from manyserve.api.inferenceservice_status import InferenceServiceStatus
from manyserve.api.kube_model import KubeModel, Meta, Whole
from manyserve.api.names import AUTOSCALER_CLASSES, VOLUME_SIZE_LIMITS
from manyserve.api.pod import Container, ContainerFields, FixedPodFields, PodFields
from manyserve.api.unsupported import properties

CUSTOM = "containers"
"""The predictor of a custom server."""
PROTOCOLS: dict[str, tuple[str, ...]] = {
    "triton": ("v2",),
    "sklearn": ("v1", "v2"),
    "xgboost": ("v1", "v2"),
    "lightgbm": ("v1", "v2"),
    CUSTOM: ("v2", "v1"),
}
"""Supported predictors with their protocols, the default first. Each is a field of `PredictorSpec` and has a server in
`plan.servers.registry`."""
FRAMEWORKS = tuple(name for name in PROTOCOLS if name != CUSTOM)
"""Supported model servers, without the custom one."""
OTHER_FRAMEWORKS = ("tensorflow", "pytorch", "onnx", "huggingface", "pmml", "paddle")
"""The model servers of KServe that the operator does not run."""
PREDICTORS = (*FRAMEWORKS, "model", CUSTOM)
"""Fields of `spec.predictor` that may hold a server."""
DEFAULT_PROTOCOLS = {name: protocols[0] for name, protocols in PROTOCOLS.items()}
_KNOWN_PROTOCOLS = frozenset(protocol for protocols in PROTOCOLS.values() for protocol in protocols)
PROTOCOL_ENV = "PROTOCOL"
"""Environment variable with the protocol of a custom server, as in 0.6."""

HOMOGENEOUS = "Homogeneous"
HETEROGENEOUS = "Heterogeneous"
ALLOCATIONS = (HOMOGENEOUS, HETEROGENEOUS)
"""Values of `allocation`, the default first."""
CPU, MEMORY = "cpu", "memory"
CONCURRENCY, RPS = "concurrency", "rps"
MODEL_METRICS = (CONCURRENCY, RPS)
"""Metrics by which models are scaled, the default first."""
ALLOCATION_SENTENCE = (
    "allocation cannot be changed; create another InferenceService, and move the models by spec.inferenceService"
)
_IS_HETEROGENEOUS = f"has({{0}}.allocation) && {{0}}.allocation == '{HETEROGENEOUS}'"
_ALLOCATION_RULE = {
    "rule": f"({_IS_HETEROGENEOUS.format('self')}) == ({_IS_HETEROGENEOUS.format('oldSelf')})",
    "message": ALLOCATION_SENTENCE,
}
"""Rule in CEL. It is at the predictor, since the API server runs no such rule of a field that is added or removed."""

NAME_LIMIT = 45
"""`H-predictor-default` must be a DNS label of at most 63 characters."""

HPA = "hpa"
EXTERNAL = "external"
NONE = "none"
AUTOSCALERS = (HPA, EXTERNAL, NONE)
"""Values of the annotation `autoscalerClass`, the default first."""

_IGNORED_NAME = "Ignored: the server is always called kserve-container."


class ServerFields(ContainerFields):
    """Fields of a supported model server."""

    runtime_version: Annotated[str | None, Field(description="Tag of the image; unset: the configured one.")] = None
    protocol_version: Annotated[
        str | None,
        Field(
            description="Inference protocol. Triton speaks v2. For the others v1, or unset, runs KServe's own server, "
            "and v2 runs MLServer.",
        ),
    ] = None
    name: Annotated[str | None, Field(description=_IGNORED_NAME)] = None
    storage_uri: Annotated[
        str | None,
        Field(
            description="Model of the predictor. Not supported: a host has no storageUri, TrainedModels do.",
        ),
    ] = None


class ModelFormat(KubeModel):
    """The framework of a server."""

    name: Annotated[str, Field(description=f"Framework: {', '.join(FRAMEWORKS)}.")] = ""
    version: Annotated[str | None, Field(description="Ignored: each model has its framework.")] = None


class FormatFields(ServerFields):
    """Fields of a model server as KServe 0.8 and newer store it."""

    model_format: Annotated[ModelFormat, Field(description="Framework of the server.")] = ModelFormat()
    runtime: Annotated[str | None, Field(description="Ignored: the server is the one of inferenceservice-config.")] = (
        None
    )


def _extend_predictor(schema: dict[str, Any]) -> None:
    """Add the unsupported fields and the rule about `allocation` to the schema of a predictor."""
    schema["properties"].update(properties("predictor"))
    schema["x-kubernetes-validations"] = [_ALLOCATION_RULE]


class PredictorSpec(PodFields, FixedPodFields):
    """The model server and how its pods run."""

    model_config = ConfigDict(json_schema_extra=_extend_predictor)

    triton: Annotated[ServerFields | None, Field(description="Triton Inference Server.")] = None
    sklearn: Annotated[ServerFields | None, Field(description="scikit-learn server.")] = None
    xgboost: Annotated[ServerFields | None, Field(description="XGBoost server.")] = None
    lightgbm: Annotated[ServerFields | None, Field(description="LightGBM server.")] = None
    model: Annotated[
        FormatFields | None, Field(description="One of these servers, by its framework: the form of KServe 0.8.")
    ] = None
    containers: Annotated[
        tuple[Container, ...] | None,
        Field(
            description="Custom server. It implements the v2 protocol with its repository extension, or v1 as KServe's "
            "servers do when its env has PROTOCOL=v1. Its env has MULTI_MODEL_SERVER=true.",
        ),
    ] = None
    labels: Annotated[
        dict[str, str] | None, Field(description="Further labels of the pods and children, which override the host's.")
    ] = None
    annotations: Annotated[
        dict[str, str] | None,
        Field(description="Further annotations of the pods and children, which override the host's."),
    ] = None
    allocation: Annotated[
        str | None,
        Field(
            description=f"{HOMOGENEOUS}: all replicas hold the same models. {HETEROGENEOUS}: each pod holds models of "
            f"its own, and each model has as many copies as it needs. Unset: {HOMOGENEOUS}. It cannot be changed.",
        ),
    ] = None
    min_replicas: Annotated[int | None, Field(description="Fewest replicas; unset: 1.")] = None
    max_replicas: Annotated[
        int | None,
        Field(
            description=f"Most replicas. Above minReplicas a {HOMOGENEOUS} host is scaled by scaleMetric, and a "
            f"{HETEROGENEOUS} host gets further pods when its models need more memory.",
        ),
    ] = None
    scale_target: Annotated[
        int | None,
        Field(
            description=f"{HOMOGENEOUS}: target of each replica: percent of the requested cpu or memory, unset: 80; "
            "or requests in flight or a second of all models, unset: 1. "
            f"{HETEROGENEOUS}: the default of the host's models; unset: 1.",
        ),
    ] = None
    scale_metric: Annotated[
        str | None,
        Field(
            description=f"{HOMOGENEOUS}: cpu or memory of a HorizontalPodAutoscaler, or concurrency or rps of all "
            f"models, by which the operator sets the replicas; unset: cpu. {HETEROGENEOUS}: the default of the host's "
            "models, concurrency or rps; unset: concurrency.",
        ),
    ] = None

    deployment_strategy: Annotated[
        DeploymentStrategy | None,
        Field(description="How new pods replace old ones; unset: a new pod is ready before an old one ends."),
    ] = None

    @property
    def is_heterogeneous(self) -> bool:
        """Whether each pod holds models of its own."""
        return self.allocation == HETEROGENEOUS

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The fields that hold a server; a valid host has exactly one."""
        return tuple(name for name in PREDICTORS if getattr(self, name) not in (None, ()))

    @cached_property
    def field(self) -> str:
        """The field that holds the server, as a part of a path: `triton`, `model`, `containers[0]`, or empty."""
        name = next(iter(self.given), "")
        return f"{CUSTOM}[0]" if name == CUSTOM else name

    @cached_property
    def framework_server(self) -> ServerFields | None:
        """The supported server; None for a custom one and for other frameworks."""
        if self.field in FRAMEWORKS:
            server: ServerFields = getattr(self, self.field)
            return server
        return self.model if self.model is not None and self.model.model_format.name in FRAMEWORKS else None

    @property
    def server(self) -> ContainerFields:
        """The container fields of the server, for any predictor."""
        return self.framework_server or (self.containers or (ContainerFields(),))[0]

    @cached_property
    def name(self) -> str:
        """The predictor's name: `triton`, or `containers` for a custom server; empty when there is none."""
        if self.field == "model" and self.model is not None:
            return self.model.model_format.name if self.framework_server else ""
        return self.field.partition("[")[0]

    @property
    def is_custom(self) -> bool:
        """Whether the server is a custom one."""
        return self.name == CUSTOM

    @cached_property
    def protocol(self) -> str:
        """The inference protocol of the server, `v1` or `v2`."""
        given = self.framework_server.protocol_version if self.framework_server else None
        if self.is_custom:
            given = next((each.value for each in self.server.env or () if each.name == PROTOCOL_ENV), None)
        return given if given in _KNOWN_PROTOCOLS else DEFAULT_PROTOCOLS.get(self.name, "v2")


class InferenceServiceSpec(KubeModel):
    """The predictor; transformers and explainers are not supported yet."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema["properties"].update(properties("spec")))

    predictor: Annotated[PredictorSpec, Field(description="The model server.")]


class HostMeta(Meta):
    """Metadata of a host, with the labels and annotations that its children get."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class InferenceService(Whole):
    """The host: a model server that many TrainedModels share."""

    metadata: HostMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus = InferenceServiceStatus()

    @property
    def autoscaler_class(self) -> str:
        """The owner of the replicas that the annotation names, valid or not; the predictor's overrides the host's."""
        return self._annotation(AUTOSCALER_CLASSES, HPA)

    @property
    def volume_size_limit(self) -> str:
        """The host's own limit of its volume with models, valid or not; empty without one."""
        return self._annotation(VOLUME_SIZE_LIMITS, "")

    def _annotation(self, keys: tuple[str, ...], default: str) -> str:
        """Return the value of the first of these annotations that is given; the predictor's override the host's."""
        annotations = self.metadata.annotations | (self.spec.predictor.annotations or {})
        return next((annotations[key] for key in keys if key in annotations), default)
