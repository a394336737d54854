"""Table of unmanaged objects: each row, the order of the rows, and malformed objects."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.inferenceservice import FRAMEWORKS
from manyserve.plan import management
from manyserve.plan.management import Unmanaged, host_unmanaged, model_unmanaged
from tests.fuzz.shapes import JSON
from tests.support.kserve_forms import FORMS, Form

Manifest = dict[str, Any]
MODE = {"serving.kserve.io/deploymentMode": "RawDeployment"}
MULTI = {"name": "kserve-container", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}


def isvc(predictor: Any, **spec: Any) -> Manifest:
    return {"metadata": {"name": "h", "namespace": "default"}, "spec": {"predictor": predictor} | spec}


def with_metadata(thing: Manifest, **metadata: Any) -> Manifest:
    return thing | {"metadata": thing["metadata"] | metadata}


def why(thing: Manifest) -> tuple[str, str] | None:
    unmanaged = host_unmanaged(thing)
    return None if unmanaged is None else (unmanaged.reason, unmanaged.path)


@pytest.mark.parametrize(
    "predictor",
    [
        *({name: {}} for name in FRAMEWORKS),
        *({"model": {"modelFormat": {"name": name}}} for name in FRAMEWORKS),
        {
            "model": {
                "modelFormat": {"name": "triton"},
                "runtime": "kserve-tritonserver",
                "storageUri": None,
                "name": "",
            }
        },
        {"containers": [MULTI]},
        {"containers": [{"name": "sidecar"}, MULTI]},
        {"triton": {}, "containers": [{"name": "sidecar"}]},
        {"triton": {}, "logger": {"storage": {"key": "a"}}, "minReplicas": 0, "future": {"a": 1}},
        {"triton": {}, "annotations": {"storageUri": "gs://a/b"}, "labels": {"storage": "fast"}},
        {"triton": {"storageUri": None, "storage": None}, "storageUris": None},
    ],
    ids=str,
)
def test_management_accepts_each_multi_model_predictor(predictor: Manifest) -> None:
    assert host_unmanaged(isvc(predictor)) is None


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.name)
def test_management_gives_the_reason_of_each_kserve_form(form: Form) -> None:
    decide = host_unmanaged if form.kind == "InferenceService" else model_unmanaged
    unmanaged = decide(form.manifest)
    assert unmanaged
    assert unmanaged.reason == form.reason


@pytest.mark.parametrize("finalizer", management.HOST_FINALIZERS)
def test_management_refuses_kserve_finalizer(finalizer: str) -> None:
    unmanaged = host_unmanaged(with_metadata(isvc({"triton": {}}), finalizers=["example.com/other", finalizer]))
    assert str(unmanaged) == f"metadata.finalizers: has {finalizer}, so KServe looks after this object"
    assert host_unmanaged(with_metadata(isvc({"triton": {}}), finalizers=["example.com/other", "orphan"])) is None


@pytest.mark.parametrize("mode", ["ModelMesh", "RawDeployment", "Serverless", "Standard", "Knative", ""])
def test_management_refuses_each_deployment_mode(mode: str) -> None:
    unmanaged = host_unmanaged(with_metadata(isvc({"triton": {}}), annotations={management.DEPLOYMENT_MODE: mode}))
    assert unmanaged
    assert unmanaged.reason == "KServeDeploymentMode"


@pytest.mark.parametrize(
    ("predictor", "path"),
    [
        ({"sklearn": {"storageUri": "gs://a/b"}}, "spec.predictor.sklearn.storageUri"),
        ({"model": {"modelFormat": {"name": "triton"}, "storageUri": "gs://a/b"}}, "spec.predictor.model.storageUri"),
        ({"model": {"modelFormat": {"name": "triton"}, "storage": {}}}, "spec.predictor.model.storage"),
        ({"model": {"modelFormat": {"name": "triton"}, "storageUri": ""}}, "spec.predictor.model.storageUri"),
        ({"triton": {}, "storageUris": [{"uri": "gs://a/b"}]}, "spec.predictor.storageUris"),
        ({"containers": [MULTI], "storageUri": "gs://a/b"}, "spec.predictor.storageUri"),
        ({"serverOfAFutureRelease": {"storageUri": "gs://a/b"}}, "spec.predictor.serverOfAFutureRelease.storageUri"),
    ],
    ids=str,
)
def test_management_refuses_own_storage(predictor: Manifest, path: str) -> None:
    assert why(isvc(predictor)) == ("OwnStorage", path)


@pytest.mark.parametrize("component", ["transformer", "explainer"])
def test_management_refuses_transformer_and_explainer(component: str) -> None:
    assert why(isvc({"triton": {}}, **{component: {}})) == ("TransformerOrExplainer", f"spec.{component}")
    assert host_unmanaged(isvc({"triton": {}}, **{component: None})) is None


@pytest.mark.parametrize(
    "env",
    [None, [], [{"name": "MULTI_MODEL_SERVER"}], [{"name": "MULTI_MODEL_SERVER", "value": "false"}], ["x"]],
    ids=str,
)
def test_management_refuses_containers_without_multi_model_server(env: Any) -> None:
    unmanaged = why(isvc({"containers": [{"name": "kserve-container", "env": env}]}))
    assert unmanaged == ("ContainerNotMultiModel", "spec.predictor.containers")


@pytest.mark.parametrize(
    ("predictor", "sentence"),
    [
        ({}, "none is given"),
        ({"minReplicas": 1, "labels": {"a": "b"}}, "none is given"),
        ({"autoScaling": {"metrics": []}, "workerSpec": {}, "deploymentStrategy": {}}, "none is given"),
        ({"containers": []}, "none is given"),
        ({"pytorch": {}, "onnx": {}}, "none of its servers is one that manyserve runs: onnx, pytorch"),
        ({"model": {"modelFormat": {"name": "pytorch"}}}, "model has the format 'pytorch'"),
        ({"model": {"modelFormat": {"name": ["triton"]}}}, "model has the format ['triton']"),
        ({"model": {}}, "model has no modelFormat.name"),
    ],
    ids=str,
)
def test_management_refuses_unknown_predictor(predictor: Manifest, sentence: str) -> None:
    unmanaged = host_unmanaged(isvc(predictor))
    assert unmanaged
    assert unmanaged.reason == "NoKnownPredictor"
    assert unmanaged.message == (
        f"{sentence}; a host has one of: triton, sklearn, xgboost, lightgbm, containers, model (model with one of "
        "these formats)"
    )


def test_management_leaves_missing_predictor_to_the_rules() -> None:
    things: list[Manifest] = [{}, {"spec": None}, {"spec": {}}, isvc(None), isvc("triton")]
    for thing in things:
        assert host_unmanaged(thing) is None


def test_management_refuses_a_model_by_its_finalizer_alone() -> None:
    unmanaged = model_unmanaged({"metadata": {"finalizers": ["trainedmodel.finalizer"]}})
    assert unmanaged
    assert unmanaged.reason == "KServeFinalizer"
    for finalizers in (None, [], ["orphan"], ["inferenceservice.finalizers"]):
        assert model_unmanaged({"metadata": {"finalizers": finalizers, "annotations": MODE}}) is None


ROWS: tuple[tuple[str, Manifest], ...] = (
    ("KServeFinalizer", {"metadata": {"finalizers": ["inferenceservice.finalizers"]}}),
    ("KServeDeploymentMode", {"metadata": {"annotations": MODE}}),
    ("OwnStorage", {"spec": {"predictor": {"storageUris": [{"uri": "gs://a/b"}]}}}),
    ("TransformerOrExplainer", {"spec": {"transformer": {}}}),
    ("ContainerNotMultiModel", {"spec": {"predictor": {"containers": [{"name": "c"}]}}}),
)


@pytest.mark.parametrize(("first", "second"), list(combinations(ROWS, 2)), ids=lambda each: each[0])
def test_management_reason_is_of_the_first_matching_row(
    first: tuple[str, Manifest], second: tuple[str, Manifest]
) -> None:
    unmanaged = host_unmanaged(_merged(_merged({"spec": {"predictor": {}}}, second[1]), first[1]))
    assert unmanaged
    assert unmanaged.reason == first[0]


def _merged(left: Manifest, right: Manifest) -> Manifest:
    both = {key: left[key] | value if isinstance(left.get(key), dict) else value for key, value in right.items()}
    if isinstance(left.get("spec"), dict) and "predictor" in right.get("spec", {}):
        both["spec"]["predictor"] = left["spec"].get("predictor", {}) | right["spec"]["predictor"]
    return left | both


_PARTS = st.sampled_from(
    ["predictor", "model", "modelFormat", "triton", "containers", "env", "storage", "storageUri", "transformer", "name"]
)
_SHAPES = st.recursive(JSON, lambda inner: st.dictionaries(_PARTS, inner, max_size=4) | st.lists(inner, max_size=2))


@given(metadata=JSON, spec=_SHAPES)
def test_management_decides_any_json(metadata: Any, spec: Any) -> None:
    for unmanaged in (
        host_unmanaged({"metadata": metadata, "spec": spec}),
        host_unmanaged({"metadata": {"finalizers": metadata, "annotations": spec}, "spec": {"predictor": spec}}),
        model_unmanaged({"metadata": {"finalizers": spec}}),
        model_unmanaged({"metadata": metadata}),
    ):
        assert unmanaged is None or (
            isinstance(unmanaged, Unmanaged) and str(unmanaged).startswith(("spec", "metadata"))
        )
