"""Rows 13 to 22: what users, administrators and other programs do to a host and its namespace."""

from __future__ import annotations

import asyncio
import json
import time

from manyserve.api import names
from manyserve.cluster import kinds
from tests.cluster.waiting import until
from tests.contract.stage import soon
from tests.faults import faults, oracle
from tests.faults.credentials import Tokens
from tests.faults.faults import CONFIG
from tests.faults.scene import HOST, LONG, Scene
from tests.support import make
from tests.support.figures import Figures
from tests.support.kubectl import condition

AGAIN = "seconds until all is right again"
DEPLOYMENT = names.deployment(HOST)


async def test_fault_13_models_before_their_host_and_a_host_made_again_and_again(
    scene: Scene, figures: Figures
) -> None:
    await scene.apply(make.model_object("one"), make.model_object("two"))
    await soon(lambda: _reason(scene, "one") == "InferenceServiceNotFound", "the model says what it waits for")
    for _ in range(50 if LONG else 5):
        await scene.apply(make.host_object())
        await scene.do("delete", "isvc", HOST, "--wait=false")
    await scene.apply(make.host_object(), make.model_object("one"), make.model_object("two"))
    figures.take(f"13 a host deleted and made again at once: {AGAIN}", await scene.right(), "s")
    await soon(lambda: _owners(scene) == {_uid(scene)}, "all children belong to the last host", 90)
    await scene.right()
    await scene.judge()


async def test_fault_14_a_config_edited_by_hand_is_put_back(scene: Scene, figures: Figures) -> None:
    models = (make.model_object("one"), make.model_object("two"), make.model_object("large", memory="3Gi"))
    await scene.apply(make.host_object(), *models)  # who is placed of an empty list does not depend on who came first
    await scene.right()
    placed = _models_json(scene)
    for what, text in (("emptied", "[]"), ("edited", placed.replace("cifar10", "another").replace('"one"', '"ghost"'))):
        await scene.do("patch", "configmap", CONFIG, "-p", json.dumps({"data": {"models.json": text}}))
        began = time.monotonic()
        await soon(lambda: _models_json(scene) == placed, f"{what} by hand, it is put back as it was")
        figures.take(f"14 models.json {what} by hand: {AGAIN}", time.monotonic() - began, "s")
    await scene.right()
    await scene.quiet()
    assert oracle.memory_is_never_above_the_limit(scene.witness.history) == []


def _models_json(scene: Scene) -> str:
    return str(scene.kubectl.get("configmap", CONFIG)["data"]["models.json"])


async def test_fault_14_replicas_are_the_autoscalers_while_there_is_one(scene: Scene, figures: Figures) -> None:
    await scene.apply(make.host_object(minReplicas=1, maxReplicas=4), make.model_object("one"))
    await scene.right()
    await scene.do("scale", "deployment", DEPLOYMENT, "--replicas=2")
    await scene.quiet()
    await _scaled_by_an_autoscaler(scene, 3)
    await scene.apply(make.host_object(minReplicas=1, maxReplicas=5), make.model_object("two"))
    await scene.right()
    await scene.quiet()
    assert (_replicas(scene), _are_ours(scene)) == (3, False)
    await scene.apply(make.host_object(minReplicas=2, maxReplicas=2))
    began = time.monotonic()
    await soon(lambda: _replicas(scene) == 2, "without an autoscaler the number is the host's")
    figures.take("14 replicas without an autoscaler: seconds until they are the host's", time.monotonic() - began, "s")
    await scene.do("scale", "deployment", DEPLOYMENT, "--replicas=4")
    await soon(lambda: _replicas(scene) == 2, "and stays the host's")
    assert _are_ours(scene)
    await scene.right()
    await scene.judge()


async def _scaled_by_an_autoscaler(scene: Scene, replicas: int) -> None:
    """Set the number as a HorizontalPodAutoscaler's controller does: by the subresource `scale`."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    words = ("--subresource=scale", "--type=merge", "--field-manager=an-autoscaler", "-p", patch)
    await scene.do("patch", "deployment", DEPLOYMENT, *words)


def _replicas(scene: Scene) -> int:
    return int(scene.kubectl.get("deployment", DEPLOYMENT)["spec"]["replicas"])


def _are_ours(scene: Scene) -> bool:
    """Tell whether the number of replicas is a field that the operator applies."""
    found = json.loads(scene.kubectl("get", "deployment", DEPLOYMENT, "-o", "json", "--show-managed-fields"))
    (own,) = (each for each in found["metadata"]["managedFields"] if each["manager"] == names.MANAGER)
    return "f:replicas" in own["fieldsV1"]["f:spec"]


async def test_fault_18_of_a_crowd_as_many_are_placed_as_fit(scene: Scene, figures: Figures) -> None:
    room = 20
    await scene.apply(make.host_object(memory=f"{100 * room}Mi"))
    await scene.right()
    async with faults.many_creates(scene):
        pass
    figures.take("18 four times as many models as fit, at once: seconds until all is right", await scene.right(), "s")
    for _ in range(3):
        placed = _placed(scene)
        assert len(placed) == room
        await scene.do("delete", "tm", placed[0], "--wait=false")
        await scene.right()
    await scene.judge()


async def test_fault_19_a_namespace_that_goes_while_its_models_are_placed_is_gone_soon(
    scene: Scene, figures: Figures
) -> None:
    await scene.apply(make.host_object(memory="64Gi"), *(make.model_object(f"m-{number}") for number in range(20)))
    began = time.monotonic()
    name = scene.kubectl.namespace
    await scene.do("delete", "namespace", name, "--wait=false")
    await soon(lambda: not scene.kubectl.exists("namespace", name), "the namespace is gone", 120)
    figures.take("19 namespace deleted in mid-work: seconds until it is gone", time.monotonic() - began, "s")
    before = len(scene.proxy.writes())
    await asyncio.sleep(10 if LONG else 4)
    assert len(scene.proxy.writes()) == before, "nothing is written where nothing is"
    assert scene.operator.starts == 1
    await scene.do("create", "namespace", name)


async def test_fault_21_a_token_that_is_not_accepted_any_more_is_read_again(scene: Scene, figures: Figures) -> None:
    tokens = Tokens(scene)
    await tokens.next()
    tokens.use(scene.folder / "operator.kubeconfig")
    starts = scene.operator.starts
    scene.operator.kill()
    await until(lambda: scene.operator.starts > starts, 30)
    await scene.operator.ready()
    await scene.furnish()
    await tokens.next()
    await asyncio.sleep(11)  # for so long the API server believes what it has checked
    faults.cut(scene)
    await scene.change()
    figures.take(f"21 the token ends: {AGAIN}", await scene.right(), "s")
    assert [each for each in scene.proxy.history if each.status == 401], "the old token was refused"
    await scene.judge()
    assert scene.operator.starts == starts + 1, "it lives on"


async def test_fault_22_a_strangers_object_of_our_name_is_left_alone(scene: Scene, figures: Figures) -> None:
    await scene.do("create", "service", "clusterip", HOST, "--tcp=80:80")
    await scene.do("label", "service", HOST, f"{oracle.STRANGER}=yes")
    await scene.apply(make.host_object(), make.model_object("one"))
    await soon(lambda: "does not belong" in _host_says(scene), "the host says whose name it is")
    await scene.quiet()
    assert oracle.strangers_are_left_alone(scene.witness.history) == []
    await scene.do("delete", "service", HOST)
    figures.take("22 a name is free again: seconds until all is right", await scene.right(), "s")
    await scene.judge()


def _reason(scene: Scene, model: str) -> str:
    return str(condition(scene.kubectl.get("tm", model)).get("reason"))


def _host_says(scene: Scene) -> str:
    conditions = scene.kubectl.get("isvc", HOST).get("status", {}).get("conditions", [])
    return " ".join(each.get("message", "") for each in conditions)


def _placed(scene: Scene) -> list[str]:
    config = oracle.latest(scene.witness.history).get((kinds.CONFIG_MAP.name, CONFIG), {})
    return [each.model_name for each in oracle.entries(config)]


def _uid(scene: Scene) -> str:
    return str(scene.kubectl.get("isvc", HOST)["metadata"]["uid"])


def _owners(scene: Scene) -> set[str]:
    found = scene.kubectl.list("deployment,service,configmap,ingress", "-l", "app.kubernetes.io/managed-by=manyserve")
    return {owner["uid"] for each in found for owner in each["metadata"]["ownerReferences"]}
