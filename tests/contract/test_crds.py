"""What a user meets at the API server: the kinds, their columns, their fields, and every refusal's sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import make, uris
from tests.support.kubectl import Kubectl, Refused

WALKTHROUGH = Path(__file__).parents[1] / "data" / "walkthrough"
Manifest = dict[str, Any]

HOST_HEADER = "NAME URL READY PREV LATEST PREVROLLEDOUTREVISION LATESTREADYREVISION AGE"
MODEL_HEADER = "NAME URL READY AGE"


def header(kubectl: Kubectl, *words: str) -> str:
    return " ".join(kubectl("get", *words).splitlines()[0].split())


@pytest.mark.parametrize("name", ["multi_model_triton", "trained_model", "simple_string"])
def test_what_users_of_0_6_apply_is_accepted_as_it_is_by_strict_validation(kubectl: Kubectl, name: str) -> None:
    said = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(WALKTHROUGH / f"{name}.yaml"))
    assert "created (server dry run)" in said


def test_the_scikit_learn_sample_of_0_6_is_accepted_as_it_is_and_a_third_protocol_is_not(kubectl: Kubectl) -> None:
    resources = {each: {"cpu": "100m", "memory": "512Mi"} for each in ("limits", "requests")}
    sklearn = {"protocolVersion": "v1", "name": "sklearn-iris-predictor", "resources": resources}
    assert "created" in kubectl.try_out(make.host_object(triton=None, sklearn=sklearn))
    assert "created" in kubectl.try_out(make.host_object(triton=None, sklearn=sklearn | {"protocolVersion": "v2"}))
    with pytest.raises(Refused, match=r'sklearn.protocolVersion: Unsupported value: "v3"'):
        kubectl.try_out(make.host_object(triton=None, sklearn=sklearn | {"protocolVersion": "v3"}))
    with pytest.raises(Refused, match="storageUri is not supported on a multi-model host"):
        kubectl.try_out(make.host_object(triton=None, sklearn=sklearn | {"storageUri": "gs://a/b"}))


@pytest.mark.parametrize("name", ["inferenceservices", "trainedmodels"])
def test_the_definitions_are_structural(kubectl: Kubectl, name: str) -> None:
    found = kubectl.get("crd", f"{name}.serving.kserve.io")
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_the_columns_are_those_of_the_walkthrough_and_wide_shows_more(kubectl: Kubectl) -> None:
    kubectl.apply(kubectl.here(make.host_object()), kubectl.here(make.model_object()))
    assert header(kubectl, "isvc") == HOST_HEADER
    assert header(kubectl, "tm") == MODEL_HEADER
    assert header(kubectl, "isvc", "-o", "wide") == f"{HOST_HEADER} MODELS MEMORY REASON"
    assert header(kubectl, "tm", "-o", "wide") == f"{MODEL_HEADER} HOST FRAMEWORK MEMORY LOADED REASON"


def test_every_field_is_explained(kubectl: Kubectl) -> None:
    assert "Memory that the model needs when loaded" in kubectl("explain", "tm.spec.model.memory")
    assert "Fewest replicas" in kubectl("explain", "isvc.spec.predictor.minReplicas")


def test_models_are_selected_by_their_host(kubectl: Kubectl) -> None:
    kubectl.apply(kubectl.here(make.model_object("one", host="a")), kubectl.here(make.model_object("two", host="b")))
    found = kubectl("get", "tm", "--field-selector", "spec.inferenceService=a", "-o", "name")
    assert found.split() == ["trainedmodel.serving.kserve.io/one"]


def test_a_status_in_the_manifest_is_ignored(kubectl: Kubectl) -> None:
    forged = make.model_object() | {"status": {"url": "http://evil.example"}}
    kubectl.apply(kubectl.here(forged))
    assert "status" not in kubectl.get("tm", "cifar10")


MODELS = {
    "digest": ({"digest": "sha256:abc"}, "digest", "must be sha256: and 64 small hexadecimal digits"),
    "refresh too often": ({"refreshInterval": "9.9s"}, "refreshInterval", "must be a duration of at least 10s"),
    "refresh in words": ({"refreshInterval": "daily"}, "refreshInterval", "must be a duration of at least 10s"),
    "memory 0": ({"memory": "0"}, "memory", "must be a quantity greater than 0"),
    "memory 0 as a number": ({"memory": 0}, "memory", "must be a quantity greater than 0"),
    "memory -1Gi": ({"memory": "-1Gi"}, "memory", "must be a quantity greater than 0"),
    "memory abc": ({"memory": "abc"}, "memory", "must be a quantity greater than 0"),
    "memory 1gi": ({"memory": "1gi"}, "memory", "must be a quantity greater than 0"),
    "framework": ({"framework": "Py Torch"}, "framework", "must be one word in lower case"),
    "host": ({"host": "Not_A_Name"}, "inferenceService", "must be letters, digits and '-'"),
    "name with a dot": ({"name": "a.b"}, "", "metadata.name is the model's name in its URL"),
    "name too long": ({"name": "a" * 201}, "", "metadata.name is the model's name in its URL"),
}


@pytest.mark.parametrize(("fields", "path", "sentence"), MODELS.values(), ids=MODELS)
def test_a_model_is_refused_with_a_sentence(kubectl: Kubectl, fields: Manifest, path: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        kubectl.try_out(make.model_object(**fields))
    assert sentence in str(refused.value)
    assert path in str(refused.value)


@pytest.mark.parametrize(("uri", "sentence"), uris.ROW_7.values(), ids=uris.ROW_7)
def test_input_07_a_uri_that_is_none_is_refused_by_the_api_server_alone(
    kubectl: Kubectl, uri: str, sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        kubectl.try_out(make.model_object(uri=uri))
    assert "spec.model.storageUri" in str(refused.value)
    assert sentence in str(refused.value)


def test_input_07_a_uri_of_64_kib_is_refused_by_the_api_server_alone(kubectl: Kubectl) -> None:
    with pytest.raises(Refused, match=r"spec\.model\.storageUri: Too long: may not be more than 2048"):
        kubectl.try_out(make.model_object(uri=uris.TOO_LONG))


def test_every_form_of_uri_is_let_in(kubectl: Kubectl) -> None:
    for uri in [*uris.GOOD, "http://example.com/m.tar"]:
        kubectl.try_out(make.model_object(uri=uri))


def test_a_model_may_have_a_digest_and_a_refresh_interval(kubectl: Kubectl) -> None:
    for interval in ("10s", "90s", "1h30m", "1.5h", "10000ms"):
        kubectl.try_out(make.model_object(digest=f"sha256:{'0' * 64}", refreshInterval=interval))


@pytest.mark.parametrize("memory", ["1Gi", "1024Mi", "1.5Gi", "1e9", 1073741824])
def test_a_model_may_declare_its_memory_in_any_quantity(kubectl: Kubectl, memory: str | int) -> None:
    kubectl.try_out(make.model_object(memory=memory))


HOSTS = {
    "two predictors": ({"sklearn": {}}, "exactly one predictor must be given"),
    "no predictor": ({"triton": None}, "exactly one predictor must be given"),
    "another server": ({"triton": None, "tensorflow": {}}, "tensorflow is not supported yet"),
    "canary": ({"canaryTrafficPercent": 10}, "canaryTrafficPercent is not supported yet"),
    "concurrency": ({"containerConcurrency": 1}, "containerConcurrency is not supported yet"),
    "timeout": ({"timeout": 1}, "timeout is not supported yet"),
    "batcher": ({"batcher": {}}, "batcher is not supported yet"),
    "logger": ({"logger": {}}, "logger is not supported yet"),
    "replicas": ({"minReplicas": 3, "maxReplicas": 2}, "maxReplicas must not be below minReplicas"),
    "no replicas": ({"minReplicas": 0}, "should be greater than or equal to 1"),
    "storage": ({"triton": {"storageUri": "gs://b/m"}}, "storageUri is not supported on a multi-model host"),
    "protocol": ({"triton": {"protocolVersion": "v1"}}, 'Unsupported value: "v1"'),
    "two containers": ({"triton": None, "containers": [{}, {}]}, "must have at most 1 item"),
}


@pytest.mark.parametrize(("fields", "sentence"), HOSTS.values(), ids=HOSTS)
def test_a_host_is_refused_with_a_sentence(kubectl: Kubectl, fields: Manifest, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        kubectl.try_out(make.host_object(**fields))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("part", ["transformer", "explainer"])
def test_a_component_that_is_not_done_yet_is_refused(kubectl: Kubectl, part: str) -> None:
    host = make.host_object()
    with pytest.raises(Refused, match=f"spec.{part} is not supported yet"):
        kubectl.try_out(host | {"spec": host["spec"] | {part: {"containers": []}}})


@pytest.mark.parametrize("name", ["a" * 46, "1a", "a.b"])
def test_a_hosts_name_leaves_room_for_its_childrens(kubectl: Kubectl, name: str) -> None:
    with pytest.raises(Refused, match=r"metadata\.name must be a DNS label"):
        kubectl.try_out(make.host_object(name))


def test_a_misspelt_field_is_refused_by_strict_validation(kubectl: Kubectl) -> None:
    model = make.model_object()
    model["spec"]["model"]["storageURI"] = "gs://b/m"
    with pytest.raises(Refused, match=r'unknown field "spec\.model\.storageURI"'):
        kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", text=json.dumps(kubectl.here(model)))
