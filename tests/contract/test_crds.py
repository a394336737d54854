"""CRDs and webhook as a user meets them: kinds, columns, fields, and the message of each refusal.

The CRDs refuse only values of a wrong type. The webhook refuses other errors, so most refusals are tested with it.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from manyserve.api import names
from tests.contract.stage import HOST, Stage
from tests.inputs.refusals import refusal
from tests.support import kserve, make, uris
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, Refused
from tests.support.webhook import Webhook

WALKTHROUGH = Path(__file__).parents[1] / "data" / "walkthrough"
Manifest = dict[str, Any]

HOST_HEADER = "NAME URL READY PREV LATEST PREVROLLEDOUTREVISION LATESTREADYREVISION AGE"
MODEL_HEADER = "NAME URL READY AGE"


def header(kubectl: Kubectl, *words: str) -> str:
    return " ".join(kubectl("get", *words).splitlines()[0].split())


@pytest.mark.parametrize("name", ["multi_model_triton", "trained_model", "simple_string"])
def test_crds_accept_manifests_of_0_6_with_strict_validation(kubectl: Kubectl, name: str) -> None:
    printed = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(WALKTHROUGH / f"{name}.yaml"))
    assert "created (server dry run)" in printed


def test_webhook_accepts_the_sklearn_sample_of_0_6_and_refuses_a_third_protocol(asked: Webhook) -> None:
    resources = {each: {"cpu": "100m", "memory": "512Mi"} for each in ("limits", "requests")}
    sklearn = {"protocolVersion": "v1", "name": "sklearn-iris-predictor", "resources": resources}
    kubectl = asked.kubectl
    assert "created" in kubectl.try_out(make.host_object(triton=None, sklearn=sklearn))
    assert "created" in kubectl.try_out(make.host_object(triton=None, sklearn=sklearn | {"protocolVersion": "v2"}))
    with pytest.raises(Refused, match=r"sklearn.protocolVersion: 'v3' is not supported; it must be v1 or v2"):
        kubectl.try_out(make.host_object(triton=None, sklearn=sklearn | {"protocolVersion": "v3"}))


@pytest.mark.parametrize("spec", [*kserve.HOSTS.values(), *kserve.OTHERS.values()], ids=[*kserve.HOSTS, *kserve.OTHERS])
def test_crds_store_a_spec_of_kserve_unchanged_also_after_a_label(kubectl: Kubectl, spec: Manifest) -> None:
    kubectl.create(make.host_object("a") | {"spec": spec}, "--validate=strict")
    stored = kubectl.get("isvc", "a")
    assert stored["spec"] == spec
    kubectl("label", "isvc", "a", "team=b")
    _set_status(kubectl, "isvc", "a", kserve.HOST_STATUS)
    again = kubectl.get("isvc", "a")
    assert (again["spec"], again["status"]) == (spec, kserve.HOST_STATUS)
    assert again["metadata"]["generation"] == stored["metadata"]["generation"]


@pytest.mark.parametrize("spec", kserve.MODELS.values(), ids=kserve.MODELS)
def test_crds_store_a_trained_model_of_kserve_unchanged_also_after_a_label(kubectl: Kubectl, spec: Manifest) -> None:
    kubectl.create(make.model_object("a") | {"spec": spec}, "--validate=strict")
    kubectl("label", "tm", "a", "team=b")
    _set_status(kubectl, "tm", "a", kserve.MODEL_STATUS)
    again = kubectl.get("tm", "a")
    assert (again["spec"], again["status"]) == (spec, kserve.MODEL_STATUS)


def _set_status(kubectl: Kubectl, kind: str, name: str, status: Manifest) -> None:
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


@pytest.mark.parametrize("spec", kserve.HOSTS.values(), ids=kserve.HOSTS)
def test_webhook_accepts_a_host_in_the_form_that_kserve_stores(asked: Webhook, spec: Manifest) -> None:
    assert "created" in asked.kubectl.try_out(make.host_object("a") | {"spec": spec})


def test_webhook_accepts_a_field_without_effect_with_a_warning(asked: Webhook) -> None:
    spec = kserve.HOSTS["triton as 0.8 stores it"]
    message = refusal(lambda: asked.kubectl.try_out(make.host_object("a") | {"spec": spec}, "--warnings-as-errors"))
    assert "Warning: spec.predictor.model.runtime has no effect" in message


@pytest.mark.parametrize("name", ["inferenceservices", "trainedmodels"])
def test_crds_are_structural(kubectl: Kubectl, name: str) -> None:
    crd = kubectl.get("crd", f"{name}.serving.kserve.io")
    conditions = {each["type"]: each["status"] for each in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert conditions.get("NonStructuralSchema", "False") == "False"


def test_kubectl_columns_are_those_of_the_walkthrough_and_wide_has_more(kubectl: Kubectl) -> None:
    kubectl.apply(kubectl.here(make.host_object()), kubectl.here(make.model_object()))
    assert header(kubectl, "isvc") == HOST_HEADER
    assert header(kubectl, "tm") == MODEL_HEADER
    assert header(kubectl, "isvc", "-o", "wide") == f"{HOST_HEADER} MODELS MEMORY PODS COPIES REASON"
    assert header(kubectl, "tm", "-o", "wide") == f"{MODEL_HEADER} HOST FRAMEWORK MEMORY LOADED ON REASON"


def test_kubectl_shows_the_copies_of_a_model_and_nothing_on_a_homogeneous_host(kubectl: Kubectl) -> None:
    for name, status in (("copied", {"loaded": "2/3", "shards": "s0,s3"}), ("plain", {"loaded": "1/1"})):
        kubectl.apply(kubectl.here(make.model_object(name)))
        _set_status(kubectl, "tm", name, status)
    printed = {
        line.split()[0]: line.split() for line in kubectl("get", "tm", "-o", "wide", "--no-headers").splitlines()
    }
    assert printed["copied"][-2:] == ["2/3", "s0,s3"]
    assert printed["plain"][-1] == "1/1"
    assert "s0,s3" in kubectl("explain", "tm.status.shards")


def test_kubectl_explain_describes_each_field(kubectl: Kubectl) -> None:
    assert "Memory that the model needs when loaded" in kubectl("explain", "tm.spec.model.memory")
    assert "Fewest replicas" in kubectl("explain", "isvc.spec.predictor.minReplicas")
    explained = kubectl("explain", "isvc.spec.predictor.model", "--recursive")
    assert "the form of KServe 0.8" in explained
    assert {"modelFormat", "runtime", "protocolVersion", "confidential"} <= set(explained.split())
    overcommit = kubectl("explain", "isvc.spec.predictor.overcommit")
    assert "Not supported yet: refused on a multi-model host" in " ".join(overcommit.split())


def test_models_have_a_field_selector_for_their_host(kubectl: Kubectl) -> None:
    kubectl.apply(kubectl.here(make.model_object("one", host="a")), kubectl.here(make.model_object("two", host="b")))
    names_printed = kubectl("get", "tm", "--field-selector", "spec.inferenceService=a", "-o", "name")
    assert names_printed.split() == ["trainedmodel.serving.kserve.io/one"]


def test_crds_ignore_a_status_in_an_applied_manifest(kubectl: Kubectl) -> None:
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


def spec_of(webhook: Webhook, **fields: Any) -> Manifest:
    """Return `spec.model` of a model as the API server would store it. Raises `Refused`."""
    spec: Manifest = json.loads(webhook.kubectl.try_out(make.model_object(**fields), "-o", "json"))["spec"]["model"]
    return spec


@pytest.mark.parametrize(("fields", "path", "sentence"), MODELS.values(), ids=MODELS)
def test_webhook_refuses_an_invalid_model_with_a_message(
    asked: Webhook, fields: Manifest, path: str, sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        asked.kubectl.try_out(make.model_object(**fields))
    assert sentence in str(refused.value)
    assert path in str(refused.value)


@pytest.mark.parametrize(("uri", "sentence"), uris.MALFORMED.values(), ids=uris.MALFORMED)
def test_input_07_webhook_refuses_an_invalid_uri(asked: Webhook, uri: str, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        asked.kubectl.try_out(make.model_object(uri=uri))
    assert "spec.model.storageUri" in str(refused.value)
    assert sentence in str(refused.value)


def test_input_07_webhook_refuses_a_uri_of_64_kib(asked: Webhook) -> None:
    with pytest.raises(Refused, match=r"spec\.model\.storageUri: a text of 65548 characters is not allowed"):
        asked.kubectl.try_out(make.model_object(uri=uris.TOO_LONG))


def test_webhook_accepts_each_form_of_uri(asked: Webhook) -> None:
    for uri in uris.GOOD:
        assert spec_of(asked, uri=uri)["storageUri"] == uri


def test_webhook_accepts_a_digest_and_a_refresh_interval(asked: Webhook) -> None:
    digest = f"sha256:{'0' * 64}"
    for interval in ("10s", "90s", "1h30m", "1.5h", "10000ms"):
        stored = spec_of(asked, digest=digest, refreshInterval=interval)
        assert (stored["digest"], stored["refreshInterval"]) == (digest, interval)
    for fields in ({"digest": digest[:-1]}, {"digest": digest.upper()}, {"refreshInterval": "9999ms"}):
        with pytest.raises(Refused, match=f"spec.model.{next(iter(fields))}"):
            asked.kubectl.try_out(make.model_object(**fields))


@pytest.mark.parametrize("memory", ["1Gi", "1024Mi", "1.5Gi", "1e9", 1073741824])
def test_webhook_accepts_memory_in_any_quantity(asked: Webhook, memory: str | int) -> None:
    assert spec_of(asked, memory=memory)["memory"] == memory


OWN = {"image": "x", "env": [{"name": "MULTI_MODEL_SERVER", "value": "true"}]}
HOSTS = {
    "two predictors": ({"sklearn": {}}, "exactly one predictor must be given"),
    "a server beside one of ours": ({"tensorflow": {}}, "2 are given: triton, tensorflow"),
    "canary": ({"canaryTrafficPercent": 10}, "canaryTrafficPercent is not supported yet"),
    "concurrency": ({"containerConcurrency": 1}, "containerConcurrency is not supported yet"),
    "timeout": ({"timeout": 1}, "timeout is not supported yet"),
    "batcher": ({"batcher": {}}, "batcher is not supported yet"),
    "logger": ({"logger": {}}, "logger is not supported yet"),
    "replicas": ({"minReplicas": 3, "maxReplicas": 2}, "maxReplicas must not be below minReplicas"),
    "no replicas": ({"minReplicas": 0}, "minReplicas: 0 is not allowed; it must be from 1 to 1000"),
    "allocation": ({"allocation": "Heterogeneous"}, "allocation Heterogeneous is not supported yet"),
    "a node": ({"nodeName": "node1"}, "nodeName is not supported: a pod that does not fit there"),
    "the node's network": ({"hostNetwork": True}, "hostNetwork: true is not supported; it must be false"),
    "a misplaced field": ({"volumeMounts": []}, "it must be spec.predictor.triton.volumeMounts"),
    "a misspelt label": ({"labels": {"a b": "c"}}, "spec.predictor.labels: 'a b' is not a key"),
    "an unknown field": ({"foo": 1}, "spec.predictor.foo: is not a field that manyserve knows"),
    "protocol": ({"triton": {"protocolVersion": "v1"}}, "protocolVersion: 'v1' is not supported; it must be v2"),
    "two containers": ({"triton": None, "containers": [OWN, OWN]}, "2 are given; it must be one, the model server"),
}


@pytest.mark.parametrize(("fields", "sentence"), HOSTS.values(), ids=HOSTS)
def test_webhook_refuses_an_invalid_host_with_a_message(asked: Webhook, fields: Manifest, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        asked.kubectl.try_out(make.host_object(**fields))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", ["a" * 46, "1a", "a.b"])
def test_webhook_refuses_a_host_name_too_long_for_its_children(asked: Webhook, name: str) -> None:
    with pytest.raises(Refused, match=r"metadata\.name must be a DNS label"):
        asked.kubectl.try_out(make.host_object(name))


def test_webhook_refuses_an_unknown_field_and_accepts_updates_of_a_stored_one(asked: Webhook, kubectl: Kubectl) -> None:
    model = make.model_object("misspelt")
    model["spec"]["model"]["storageURI"] = "gs://b/m"
    sentence = r"spec\.model\.storageURI: is not a field that manyserve knows"
    with pytest.raises(Refused, match=sentence):
        asked.kubectl.try_out(model)
    fine = make.model_object("misspelt")
    asked.kubectl.create(fine)
    with pytest.raises(Refused, match=sentence):
        asked.kubectl.apply(asked.kubectl.here(model))
    kubectl.create(model)
    assert kubectl.get("tm", "misspelt")["spec"] == model["spec"], "no webhook reviews this namespace"


async def test_operator_gives_an_unreviewed_invalid_host_invalid_spec_and_no_child(stage: Stage) -> None:
    stage.apply(make.host_object("bad", foo=1), make.host_object("worse", minReplicas=0), make.host_object())
    for name, sentence in {
        "bad": "spec.predictor.foo: is not a field that manyserve knows",
        "worse": "spec.predictor.minReplicas: 0 is not allowed",
    }.items():
        await eventually_in_thread(
            lambda name=name: stage.ready("isvc", name).get("reason") == "InvalidSpec",  # type: ignore[misc]
            "the host reports it",
        )
        assert stage.ready("isvc", name)["message"].startswith(sentence)
    await eventually_in_thread(
        lambda: stage.ready("isvc", HOST).get("status") == "True", "the other host is made meanwhile"
    )
    kinds = "deployments,services,configmaps,ingresses,hpa,pdb"
    label = f"{names.HOST_LABEL} in (bad, worse)"
    assert await asyncio.to_thread(stage.kubectl.list, kinds, "-l", label) == []
    await eventually_in_thread(
        lambda: warnings_about(stage.kubectl, "bad") == ["InvalidSpec"], "a Warning event is sent"
    )
    assert stage.kubectl.get("isvc", "bad")["spec"]["predictor"]["foo"] == 1


async def test_operator_gives_an_unreviewed_invalid_model_invalid_spec_and_no_entry(stage: Stage) -> None:
    stage.apply(
        make.host_object(),
        make.model_object("bad", memory="abc"),
        make.model_object("misspelt", storageURI="gs://b/m"),
        make.model_object("good"),
    )
    await eventually_in_thread(lambda: stage.ready("tm", "good").get("status") == "True", "the good one answers")
    for name in ("bad", "misspelt"):
        await eventually_in_thread(
            lambda name=name: stage.ready("tm", name).get("reason") == "InvalidSpec",  # type: ignore[misc]
            "the host reports it",
        )
    assert stage.placed() == ["good"]


async def test_operator_serves_a_host_in_kserves_form_and_keeps_the_form(stage: Stage) -> None:
    spec = kserve.HOSTS["triton as 0.8 stores it"]
    stage.apply(make.host_object() | {"spec": spec}, make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model answers")
    assert stage.kubectl.get("isvc", HOST)["spec"] == spec


def warnings_about(kubectl: Kubectl, name: str) -> list[str]:
    """Return the reasons of the Warning events about a host."""
    return [
        each["reason"]
        for each in kubectl.list("events", "--field-selector", f"involvedObject.name={name},type=Warning")
    ]


def test_crd_refuses_changed_allocation_also_without_webhook(kubectl: Kubectl) -> None:
    sentence = "allocation cannot be changed; create another InferenceService"
    kubectl.create(make.host_object("plain"))
    kubectl.create(make.host_object("sharded", allocation="Heterogeneous"))
    for host, allocation in (("plain", '"Heterogeneous"'), ("sharded", '"Homogeneous"'), ("sharded", "null")):
        with pytest.raises(Refused, match=sentence):
            kubectl(
                "patch", "isvc", host, "--type=merge", "-p", f'{{"spec":{{"predictor":{{"allocation":{allocation}}}}}}}'
            )
    for allocation in ('"Homogeneous"', "null"):
        kubectl(
            "patch", "isvc", "plain", "--type=merge", "-p", f'{{"spec":{{"predictor":{{"allocation":{allocation}}}}}}}'
        )
    patch_predictor(kubectl, "sharded", '"maxReplicas": 4')


def patch_predictor(kubectl: Kubectl, host: str, fields: str) -> None:
    kubectl("patch", "isvc", host, "--type=merge", "-p", f'{{"spec": {{"predictor": {{{fields}}}}}}}')


def test_kubectl_explains_allocation_and_copies(kubectl: Kubectl) -> None:
    assert "as many copies as it needs" in kubectl("explain", "isvc.spec.predictor.allocation")
    assert "Fewest copies" in kubectl("explain", "tm.spec.minReplicas")
