"""The whole operator against a real API server and its controllers; only the kubelet and the agents are fakes."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

from manyserve.api import names
from manyserve.api.names import Key
from manyserve.cluster.observe import observe
from manyserve.plan.plan import plan
from tests.contract.stage import HOST, Manifest, Stage, writes_stop
from tests.support import make
from tests.support.eventually import eventually, eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import condition
from tests.test_pod_fields import CONTAINER, POD, has


async def test_operator_runs_the_walkthrough(stage: Stage) -> None:
    stage.apply(make.model_object(), make.host_object(), make.model_object("simple-string"))
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    await eventually_in_thread(lambda: stage.ready("tm", "simple-string").get("status") == "True", "the second too")
    columns = stage.kubectl("get", "isvc").splitlines()[1].split()
    assert columns[:5] == [
        HOST,
        f"http://{HOST}.{stage.kubectl.namespace}.example.com",
        "True",
        "100",
        f"{HOST}-predictor-default-00001",
    ]
    await eventually_in_thread(
        lambda: "answers at" in stage.kubectl("describe", "tm", "cifar10"), "describe shows the event"
    )

    stage.apply(make.model_object("third"))
    await eventually_in_thread(
        lambda: stage.ready("tm", "third").get("reason") == "MemoryResourceNotAvailable", "the third does not fit"
    )
    assert stage.placed() == ["cifar10", "simple-string"]

    stage.kubectl("delete", "tm", "cifar10")
    await eventually_in_thread(lambda: stage.placed() == ["simple-string", "third"], "the third takes its place")
    stage.kubelet.fails.add("simple-string")
    stage.kubelet._load()
    await eventually_in_thread(
        lambda: stage.ready("tm", "simple-string").get("reason") == "LoadFailed", "Ready falls when loading fails"
    )
    assert "it is broken" in stage.ready("tm", "simple-string")["message"]


async def test_operator_gives_a_host_name_to_the_oldest_host(stage: Stage, tenants: Figures) -> None:
    ingress = json.dumps({"domainTemplate": "all.{{ .IngressDomain }}"})
    stage.kubectl("patch", "configmap", "inferenceservice-config", "-p", json.dumps({"data": {"ingress": ingress}}))
    second = make.host_object("another")
    stage.apply(make.host_object())
    await eventually_in_thread(lambda: stage.kubectl.exists("ingress", HOST), "the first host has an Ingress")
    created = datetime.fromisoformat(stage.kubectl.get("isvc", HOST)["metadata"]["creationTimestamp"])
    await eventually_in_thread(lambda: datetime.now(UTC) >= created + timedelta(seconds=1), "the next one is younger")
    stage.apply(second)
    await eventually_in_thread(
        lambda: ingress_ready(stage, "another").get("reason") == "HostNameTaken", "the second waits"
    )
    assert (
        f"belongs to the older InferenceService {stage.kubectl.namespace}/{HOST}"
        in ingress_ready(stage, "another")["message"]
    )
    tenants.take("Ingresses with the host name of another host", len(stage.kubectl.list("ingress")) - 1, "", exactly=0)
    assert not stage.kubectl.exists("ingress", "another")
    assert "url" not in stage.kubectl.get("isvc", "another")["status"]
    stage.kubectl("delete", "isvc", HOST)
    await eventually_in_thread(lambda: stage.kubectl.exists("ingress", "another"), "the name is free")
    await eventually_in_thread(
        lambda: stage.kubectl.get("isvc", "another")["status"].get("url") == "http://all.example.com", "it has the name"
    )


def ingress_ready(stage: Stage, host: str) -> dict[str, str]:
    conditions = (stage.kubectl.get("isvc", host).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "IngressReady"), {})


async def test_operator_lets_the_first_pod_be_ready_at_once_and_holds_no_settled_one(stage: Stage) -> None:
    """It has seen the host's own Service and Ingress."""
    stage.kubelet.report(settled=False)
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.kubelet.holds[-1:] == ["0"], "the pod waits for no model")
    stage.kubelet.report(settled=True)
    await eventually_in_thread(lambda: stage.kubelet.holds[-1:] == [None], "a settled pod has no hold")


async def test_operator_removes_the_ingress_of_a_host_that_becomes_cluster_local(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    label = "networking.knative.dev/visibility"
    stage.kubectl("label", "isvc", HOST, f"{label}=cluster-local")
    internal = f"http://{HOST}.{stage.kubectl.namespace}.svc.cluster.local"
    await eventually_in_thread(lambda: not stage.kubectl.exists("ingress", HOST), "the Ingress is deleted")
    await eventually_in_thread(lambda: stage.kubectl.get("isvc", HOST)["status"]["url"] == internal, "the URL follows")
    await eventually_in_thread(
        lambda: stage.kubectl.get("tm", "cifar10")["status"]["url"].startswith(f"{internal}/"), "the model's URL too"
    )
    assert stage.ready("isvc", HOST)["status"] == "True", "no Ingress is awaited"
    stage.kubectl("label", "isvc", HOST, f"{label}-")
    await eventually_in_thread(lambda: stage.kubectl.exists("ingress", HOST), "the Ingress is created again")


async def test_operator_carries_labels_of_a_host_to_its_children_and_removes_them(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object())
    stage.kubectl("label", "isvc", HOST, "team=risk", "argocd.argoproj.io/instance=x")
    stage.kubectl("annotate", "isvc", HOST, "prometheus.io/scrape=true")
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    deployment = names.deployment(HOST)

    def metadata() -> list[Manifest]:
        children = [stage.kubectl.get(*each) for each in (("deployment", deployment), ("service", HOST))]
        return [*(each["metadata"] for each in children), children[0]["spec"]["template"]["metadata"]]

    def has(key: str) -> list[bool]:
        return [key in (each["labels"] | each.get("annotations", {})) for each in metadata()]

    await eventually_in_thread(lambda: has("team") == [True] * 3, "the label is on children and pods")
    await eventually_in_thread(lambda: has("prometheus.io/scrape") == [True] * 3, "the annotation, too")
    assert has("argocd.argoproj.io/instance") == [False] * 3
    stage.kubectl("label", "service", HOST, "own=yes")
    stage.kubectl("label", "isvc", HOST, "team-")
    stage.kubectl("annotate", "isvc", HOST, "prometheus.io/scrape-")
    await eventually_in_thread(lambda: has("team") == [False] * 3, "the label left the children")
    await eventually_in_thread(lambda: has("prometheus.io/scrape") == [False] * 3, "the annotation, too")
    assert stage.kubectl.get("service", HOST)["metadata"]["labels"]["own"] == "yes", "a user's own label stays"


async def test_operator_batches_a_folder_of_models_into_few_config_writes(stage: Stage) -> None:
    stage.apply(make.host_object(memory="64Gi"))
    count = 200
    text = "\n---\n".join(
        json.dumps(each | {"metadata": {"name": each["metadata"]["name"], "namespace": stage.kubectl.namespace}})
        for each in (make.model_object(f"m-{number:03d}", memory="1Mi") for number in range(count))
    )
    await asyncio.to_thread(stage.kubectl, "apply", "-f", "-", text=text)
    await eventually_in_thread(lambda: len(stage.placed()) == count, "all are placed")
    await eventually_in_thread(
        lambda: all(condition(each).get("status") == "True" for each in stage.kubectl.list("tm")), "all are ready", 60
    )
    assert len(stage.kubelet.configs) < count / 4
    for before, after in zip(stage.kubelet.configs, stage.kubelet.configs[1:], strict=False):
        assert set(before) <= set(after), "a placed model is never dropped"


async def test_operator_writes_nothing_in_an_idle_cluster(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    await writes_stop(stage.kubectl, "isvc,tm,deployment,service,configmap,ingress,pod", stage.operator)


async def test_operator_applies_every_field_of_the_pod_once(stage: Stage) -> None:
    block = {"name": "block", "persistentVolumeClaim": {"claimName": "block"}}
    stage.apply(make.host_object(triton=CONTAINER, **POD | {"volumes": [*POD["volumes"], block]}))
    deployment = names.deployment(HOST)
    await eventually_in_thread(lambda: stage.kubectl.exists("deployment", deployment), "the API server accepts it")
    template = stage.kubectl.get("deployment", deployment)["spec"]["template"]["spec"]
    assert [each for each in POD if not has(template[each], POD[each])] == []
    assert [each for each in CONTAINER if not has(template["containers"][0][each], CONTAINER[each])] == []

    def differences() -> list[str] | None:
        observed = observe(stage.operator._state, Key(stage.kubectl.namespace, HOST))
        return [each.reason for each in plan(observed, datetime.now(UTC)).applies] if observed else None

    await eventually(lambda: differences() == [], "no child is applied again")


async def test_operator_applies_limits_of_storage_from_the_configuration(stage: Stage) -> None:
    limits = {"ephemeralStorageRequest": "1024Mi", "ephemeralStorageLimit": "30Gi", "volumeSizeLimit": "2048Mi"}
    deployment = names.deployment(HOST)

    def pod() -> Manifest:
        template: Manifest = stage.kubectl.get("deployment", deployment)["spec"]["template"]["spec"]
        return template

    stage.apply(make.host_object())
    await eventually_in_thread(lambda: stage.kubectl.exists("deployment", deployment), "the host has a Deployment")
    assert pod()["volumes"][0]["emptyDir"] == {}
    patch = {"data": {"agent": json.dumps(limits)}}
    stage.kubectl("patch", "configmap", "inferenceservice-config", "-p", json.dumps(patch))
    in_its_form = {"sizeLimit": "2Gi"}
    await eventually_in_thread(lambda: pod()["volumes"][0]["emptyDir"] == in_its_form, "the API server accepts it")
    assert pod()["containers"][1]["resources"]["limits"]["ephemeral-storage"] == "30Gi"
    await writes_stop(stage.kubectl, "deployment", stage.operator)


async def test_operator_restores_fields_that_another_writer_changed(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.placed() == ["cifar10"], "the model is placed")
    config = names.model_config(HOST)
    stage.kubectl("patch", "configmap", config, "-p", json.dumps({"data": {"models.json": "[]"}}))
    await eventually_in_thread(lambda: stage.placed() == ["cifar10"], "models.json is restored")
    stage.kubectl("label", "configmap", config, f"{names.MANAGED_BY}-")
    await eventually_in_thread(
        lambda: names.MANAGED_BY in stage.kubectl.get("configmap", config)["metadata"]["labels"],
        "the label is restored",
    )
    assert stage.placed() == ["cifar10"]
    stage.kubectl("delete", "service", HOST)
    await eventually_in_thread(lambda: stage.kubectl.exists("service", HOST), "the Service is created again")


async def test_operator_leaves_a_foreign_object_of_a_childs_name_and_reports_it(stage: Stage) -> None:
    stage.kubectl("create", "service", "clusterip", HOST, "--tcp=80:80")
    before = stage.kubectl.get("service", HOST)
    stage.apply(make.host_object())
    await eventually_in_thread(
        lambda: (
            "does not belong to the InferenceService"
            in condition(stage.kubectl.get("isvc", HOST), "PredictorReady").get("message", "")
        ),
        "the host reports the foreign Service",
    )
    assert stage.kubectl.get("service", HOST) == before
    assert stage.kubectl.exists("deployment", names.deployment(HOST)), "the other children are created"
    assert stage.ready("isvc", HOST)["status"] == "False", "its address leads to foreign pods"
    stage.kubectl("delete", "service", HOST)
    await eventually_in_thread(
        lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready when the name is free", 40
    )


async def test_host_over_quota_reports_the_api_servers_message(stage: Stage) -> None:
    stage.kubectl("create", "quota", "tight", "--hard=services=0")
    stage.apply(make.host_object())
    await eventually_in_thread(
        lambda: (
            "exceeded quota: tight" in condition(stage.kubectl.get("isvc", HOST), "PredictorReady").get("message", "")
        ),
        "the quota's sentence",
    )


async def test_host_recreated_at_once_has_children_of_its_own(stage: Stage) -> None:
    stage.apply(make.host_object())
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    stage.kubectl("delete", "isvc", HOST)
    stage.apply(make.host_object())
    uid = stage.kubectl.get("isvc", HOST)["metadata"]["uid"]

    def owners() -> set[str]:
        children = stage.kubectl.list("deployment,service,configmap,ingress", "-l", names.MANAGED_BY)
        return {owner["uid"] for each in children for owner in each["metadata"]["ownerReferences"]}

    await eventually_in_thread(lambda: owners() == {uid}, "all children belong to the new host", 90)
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the new host is ready", 60)


async def test_operator_keeps_the_last_valid_configuration_and_reports_the_error(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object())
    await eventually_in_thread(lambda: stage.ready("tm", "cifar10").get("status") == "True", "the model is ready")
    stage.kubectl("patch", "configmap", "inferenceservice-config", "-p", '{"data": {"ingress": "not json"}}')
    await eventually_in_thread(lambda: "ConfigNotUsable" in stage.kubectl("get", "events"), "an event reports it")
    assert stage.placed() == ["cifar10"]
    off = {"triton": {"image": "example/tritonserver", "supportedFrameworks": make.FRAMEWORKS}}
    patch = {"data": {"ingress": None, "predictors": json.dumps(off)}}
    stage.kubectl("patch", "configmap", "inferenceservice-config", "--type=merge", "-p", json.dumps(patch))
    await eventually_in_thread(
        lambda: stage.ready("tm", "cifar10").get("reason") == "IsNotMMSPredictor", "the flag off is seen"
    )
