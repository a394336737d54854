"""Input 25: a forged status is corrected, and decides nothing: `models.json` names the placed models.

Only an administrator can forge one: the chart's roles for users have no right to `/status`.
"""

from __future__ import annotations

import json

import pytest

from manyserve.api import names
from tests.chart import rendering
from tests.contract.stage import HOST, Stage
from tests.support import make
from tests.support.eventually import eventually_in_thread
from tests.support.kubectl import Kubectl, Manifest, Refused, condition

READY = [
    {"type": kind, "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    for kind in ("FrameworkSupported", "InferenceServiceReady", "IsMMSPredictor", "Loaded", "MemoryResourceAvailable")
] + [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]


def forge(kubectl: Kubectl, kind: str, name: str, status: Manifest) -> None:
    kubectl("patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


async def test_input_25_forged_ready_status_of_waiting_model_is_corrected(
    stage: Stage,
) -> None:
    stage.apply(make.host_object(), make.model_object("a"), make.model_object("b"))
    await eventually_in_thread(lambda: stage.placed() == ["a", "b"], "the host is full")
    stage.apply(make.model_object("late"))
    await eventually_in_thread(
        lambda: stage.ready("tm", "late").get("reason") == "MemoryResourceNotAvailable", "one waits"
    )
    honest = stage.kubectl.get("tm", "late")["status"]
    written = len(stage.kubelet.configs)

    forged = {"conditions": READY, "loaded": "7/7", "replicas": 7, "loadedReplicas": 7, "observedGeneration": 99}
    forge(stage.kubectl, "tm", "late", forged | {"url": "http://evil.example.com/"})
    await eventually_in_thread(
        lambda: stage.ready("tm", "late").get("reason") == "MemoryResourceNotAvailable", "it waits again"
    )
    right = stage.kubectl.get("tm", "late")["status"]
    assert {key: each for key, each in right.items() if key != "conditions"} == {
        key: each for key, each in honest.items() if key != "conditions"
    }
    assert condition({"status": right})["message"] == condition({"status": honest})["message"]
    assert (stage.placed(), len(stage.kubelet.configs)) == (["a", "b"], written), "nothing was placed for it"


async def test_input_25_forged_failed_status_of_placed_model_is_corrected(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object("a"))
    await eventually_in_thread(lambda: stage.ready("tm", "a").get("status") == "True", "it answers")
    written = len(stage.kubelet.configs)
    forge(stage.kubectl, "tm", "a", {"conditions": [each | {"status": "False"} for each in READY], "loaded": "0/9"})
    await eventually_in_thread(lambda: stage.ready("tm", "a").get("status") == "True", "the status is corrected")
    assert stage.kubectl.get("tm", "a")["status"]["loaded"] == "1/1"
    assert (stage.placed(), len(stage.kubelet.configs)) == (["a"], written)


async def test_input_25_forged_status_of_host_is_corrected_and_changes_no_pod(stage: Stage) -> None:
    stage.apply(make.host_object(), make.model_object("a"))
    await eventually_in_thread(lambda: stage.ready("isvc", HOST).get("status") == "True", "the host is ready")
    await eventually_in_thread(
        lambda: stage.kubectl.get("isvc", HOST)["status"].get("models") == "1/1", "with its model"
    )
    honest = stage.kubectl.get("isvc", HOST)["status"]
    pods = stage.kubectl.get("deployment", names.deployment(HOST))["metadata"]["annotations"]
    forged = {
        "latestCreatedRevision": f"{HOST}-predictor-default-00099",
        "latestReadyRevision": "x",
        "url": "http://x/",
    }
    forge(stage.kubectl, "isvc", HOST, {"models": "9/9", "memory": "1/1", "components": {"predictor": forged}})
    await eventually_in_thread(
        lambda: stage.kubectl.get("isvc", HOST)["status"] == honest, "the whole status is corrected"
    )
    assert stage.kubectl.get("deployment", names.deployment(HOST))["metadata"]["annotations"] == pods


def test_input_25_user_roles_cannot_write_status(kubectl: Kubectl) -> None:
    roles = {which: rendering.the("ClusterRole", f"manyserve-{which}") for which in ("edit", "view")}
    kubectl.apply(*roles.values())
    for which, role in roles.items():
        user = f"{which}or"
        words = (f"--clusterrole={role['metadata']['name']}", f"--user={user}")
        kubectl("create", "rolebinding", user, *words)
    kubectl("create", "rolebinding", "editor-views", "--clusterrole=manyserve-view", "--user=editor")
    model = make.model_object() | {"metadata": {"name": "cifar10", "namespace": kubectl.namespace}}
    kubectl("create", "-f", "-", "--as=editor", text=json.dumps(model))
    place = f"namespaces/{kubectl.namespace}"
    for user, path, name in (
        ("editor", f"v1alpha1/{place}/trainedmodels", "cifar10"),
        ("viewor", f"v1alpha1/{place}/trainedmodels", "cifar10"),
        ("editor", f"v1beta1/{place}/inferenceservices", HOST),
    ):
        whole = f"/apis/serving.kserve.io/{path}/{name}/status"
        with pytest.raises(Refused) as error:
            kubectl("replace", "--raw", whole, "-f", "-", f"--as={user}", text=json.dumps(model))
        kind = path.rpartition("/")[2]
        assert f'User "{user}" cannot update resource "{kind}/status"' in str(error.value)
    with pytest.raises(Refused, match='User "viewor" cannot patch resource "trainedmodels"'):
        kubectl("label", "tm", "cifar10", "a=b", "--as=viewor")
    kubectl("delete", "tm", "cifar10", "--as=editor")
