"""Decide which InferenceServices and TrainedModels are unmanaged: the table of docs/compatibility.md, first match.

The decision reads raw objects, because an unmanaged object has fields that our types do not know. Operator and
webhook call the same two functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from manyserve.api.inferenceservice import FRAMEWORKS

Raw = Mapping[str, Any]

HOST_FINALIZERS = ("inferenceservice.finalizers", "odh.inferenceservice.finalizers")
"""Finalizers of KServe, and of its distribution in OpenShift AI."""
MODEL_FINALIZERS = ("trainedmodel.finalizer",)
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
"""Annotation of KServe's group; it means the same on an object of the group serving.manyserve.io."""
MULTI_MODEL_ENV = "MULTI_MODEL_SERVER"
_STORAGE = ("storageUri", "storageUris")
_NO_SERVER = (
    *("affinity", "annotations", "autoScaling", "batcher", "deploymentStrategy", "dnsConfig", "labels", "logger"),
    *("nodeSelector", "resources", "securityContext", "workerSpec"),
)
"""Parts of a predictor that are objects but not servers."""

KSERVE_FINALIZER = "KServeFinalizer"
KSERVE_DEPLOYMENT_MODE = "KServeDeploymentMode"
OWN_STORAGE = "OwnStorage"
TRANSFORMER_OR_EXPLAINER = "TransformerOrExplainer"
NOT_MULTI_MODEL = "ContainerNotMultiModel"
NO_KNOWN_PREDICTOR = "NoKnownPredictor"
OUT_OF_SCOPE = "OutOfScope"
"""The last row of both tables. `cluster` and `webhook` decide it first, since it needs no object."""
HOST_REASONS = (
    KSERVE_FINALIZER,
    KSERVE_DEPLOYMENT_MODE,
    OWN_STORAGE,
    TRANSFORMER_OR_EXPLAINER,
    NOT_MULTI_MODEL,
    NO_KNOWN_PREDICTOR,
    OUT_OF_SCOPE,
)
MODEL_REASONS = (KSERVE_FINALIZER, OUT_OF_SCOPE)
MARKS = (KSERVE_FINALIZER, KSERVE_DEPLOYMENT_MODE)
"""Reasons with a mark of KServe itself on the object."""


class Unmanaged(NamedTuple):
    """The reason why an object is unmanaged: one word, the field that decides, and a sentence about it."""

    reason: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


_Check = Callable[[Raw], Unmanaged | None]


def not_managed(host: str, why: Unmanaged) -> str:
    """Return the sentence for a model that names an unmanaged InferenceService."""
    return f"InferenceService {host} is not managed by manyserve: {why}"


def host_unmanaged(host: Raw) -> Unmanaged | None:
    """Return the reason why an InferenceService in scope is unmanaged, or None for a managed host."""
    return next(filter(None, (check(host) for check in _HOST_CHECKS)), None)


def model_unmanaged(model: Raw) -> Unmanaged | None:
    """Return the reason why a TrainedModel in scope is unmanaged, or None for a managed model."""
    return _finalizer(model, MODEL_FINALIZERS)


def _has_kserve_finalizer(host: Raw) -> Unmanaged | None:
    return _finalizer(host, HOST_FINALIZERS)


def _has_deployment_mode(host: Raw) -> Unmanaged | None:
    mode = _part(_part(host, "metadata"), "annotations").get(DEPLOYMENT_MODE)
    if mode is None:
        return None
    path = f"metadata.annotations[{DEPLOYMENT_MODE}]"
    return Unmanaged(KSERVE_DEPLOYMENT_MODE, path, "is set, so KServe looks after this InferenceService")


def _has_storage(host: Raw) -> Unmanaged | None:
    """Search the predictor and each server in it, of any framework."""
    predictor = _predictor(host)
    servers = ((f"spec.predictor.{name}", server) for name, server in _servers(predictor))
    for path, part in (("spec.predictor", predictor), *servers):
        field = "storage" if isinstance(part.get("storage"), Mapping) else None
        field = next((name for name in _STORAGE if part.get(name) is not None), field)
        if field is not None:
            message = "is set, so this InferenceService has a model of its own; place models with TrainedModels"
            return Unmanaged(OWN_STORAGE, f"{path}.{field}", message)
    return None


def _has_further_component(host: Raw) -> Unmanaged | None:
    spec = _part(host, "spec")
    name = next((name for name in ("transformer", "explainer") if spec.get(name) is not None), None)
    if name is None:
        return None
    message = "is set, and manyserve runs hosts with a predictor only"
    return Unmanaged(TRANSFORMER_OR_EXPLAINER, f"spec.{name}", message)


def _is_custom_server_for_one_model(host: Raw) -> Unmanaged | None:
    predictor = _predictor(host)
    containers = predictor.get("containers")
    if _known_servers(predictor) or not isinstance(containers, list) or not containers:
        return None
    if any(_is_multi_model(variable) for container in containers for variable in _list(container, "env")):
        return None
    message = f"has no container with {MULTI_MODEL_ENV}=true in its env: only such a server takes TrainedModels"
    return Unmanaged(NOT_MULTI_MODEL, "spec.predictor.containers", message)


def _has_no_known_predictor(host: Raw) -> Unmanaged | None:
    predictor = _predictor(host)
    if not isinstance(_part(host, "spec").get("predictor"), Mapping):
        return None  # it is not an object: the rules have a sentence for that
    if _known_servers(predictor) or predictor.get("containers"):
        return None
    servers = ", ".join((*FRAMEWORKS, "containers", "model"))
    message = f"{_given(predictor)}; a host has one of: {servers} (model with one of these formats)"
    return Unmanaged(NO_KNOWN_PREDICTOR, "spec.predictor", message)


_HOST_CHECKS: tuple[_Check, ...] = (
    _has_kserve_finalizer,
    _has_deployment_mode,
    _has_storage,
    _has_further_component,
    _is_custom_server_for_one_model,
    _has_no_known_predictor,
)


def _finalizer(manifest: Raw, known: tuple[str, ...]) -> Unmanaged | None:
    finalizer = next((each for each in _list(_part(manifest, "metadata"), "finalizers") if each in known), None)
    if finalizer is None:
        return None
    return Unmanaged(KSERVE_FINALIZER, "metadata.finalizers", f"has {finalizer}, so KServe looks after this object")


def _known_servers(predictor: Raw) -> list[str]:
    """Return the names of the supported servers in a predictor; `model` counts by its format."""
    servers = [name for name in FRAMEWORKS if predictor.get(name) is not None]
    format_name = _part(_part(predictor, "model"), "modelFormat").get("name")
    return [*servers, "model"] if format_name in FRAMEWORKS else servers


def _servers(predictor: Raw) -> list[tuple[str, Raw]]:
    """Return the parts of a predictor that may be servers, including names that no release has yet."""
    return [
        (str(name), part) for name, part in predictor.items() if isinstance(part, Mapping) and name not in _NO_SERVER
    ]


def _given(predictor: Raw) -> str:
    """Return a clause about the servers that a predictor names."""
    if "model" in predictor:
        name = _part(_part(predictor, "model"), "modelFormat").get("name")
        return f"model has the format {name!r:.64}" if name else "model has no modelFormat.name"
    servers = sorted(name for name, _ in _servers(predictor))
    return f"none of its servers is one that manyserve runs: {', '.join(servers)[:256]}" if servers else "none is given"


def _is_multi_model(variable: Any) -> bool:
    return isinstance(variable, Mapping) and (variable.get("name"), variable.get("value")) == (MULTI_MODEL_ENV, "true")


def _predictor(host: Raw) -> Raw:
    return _part(_part(host, "spec"), "predictor")


def _part(thing: Any, name: str) -> Raw:
    """Return a part of an object; a value that is not an object counts as empty."""
    part = thing.get(name) if isinstance(thing, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _list(thing: Any, name: str) -> Iterator[Any]:
    items = thing.get(name) if isinstance(thing, Mapping) else None
    return iter(items if isinstance(items, list | tuple) else ())
