"""Rows 13 to 22: changes by users, administrators and other programs to a host and its namespace."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

from manyserve.api import names
from manyserve.cluster import kinds
from manyserve.cluster.limiter import MAX_IN_FLIGHT
from tests.contract.stage import configure
from tests.faults import expectations, faults
from tests.faults.credentials import Tokens
from tests.faults.env import HOST, LONG, QUIET, FaultEnv
from tests.faults.exchange import WRITES
from tests.faults.faults import CONFIG
from tests.support import make
from tests.support.eventually import SLOW_PAUSE, eventually, eventually_in_thread
from tests.support.figures import Figures
from tests.support.kubectl import condition

AGAIN = "seconds until all is right again"
DEPLOYMENT = names.deployment(HOST)
EVENTS_IN_FLIGHT = 2
"""One by each worker of the recorder."""


async def test_fault_13_models_before_their_host_and_repeatedly_recreated_host(env: FaultEnv, figures: Figures) -> None:
    await env.apply(make.model_object("one"), make.model_object("two"))
    await eventually_in_thread(
        lambda: _reason(env, "one") == "InferenceServiceNotFound", "the model says what it waits for"
    )
    for _ in range(50 if LONG else 5):
        await env.apply(make.host_object())
        await env.do("delete", "isvc", HOST, "--wait=false")
    await env.apply(make.host_object(), make.model_object("one"), make.model_object("two"))
    figures.take(f"13 a host deleted and made again at once: {AGAIN}", await env.right(), "s")
    await eventually_in_thread(lambda: _owners(env) == {_uid(env)}, "all children belong to the last host", 90)
    await env.right()
    await env.judge()


async def test_fault_14_models_json_edited_by_hand_is_restored(env: FaultEnv, figures: Figures) -> None:
    models = (make.model_object("one"), make.model_object("two"), make.model_object("large", memory="3Gi"))
    await env.apply(make.host_object(), *models)  # who is placed of an empty list does not depend on who came first
    await env.right()
    placed = _models_json(env)
    for what, text in (("emptied", "[]"), ("edited", placed.replace("cifar10", "another").replace('"one"', '"ghost"'))):
        await env.do("patch", "configmap", CONFIG, "-p", json.dumps({"data": {"models.json": text}}))
        began = time.monotonic()
        await eventually_in_thread(lambda: _models_json(env) == placed, f"{what} by hand, it is put back as it was")
        figures.take(f"14 models.json {what} by hand: {AGAIN}", time.monotonic() - began, "s")
    await env.right()
    await env.quiet()
    assert expectations.memory_is_never_above_the_limit(env.recorder.history) == []


def _models_json(env: FaultEnv) -> str:
    return str(env.kubectl.get("configmap", CONFIG)["data"]["models.json"])


async def test_fault_14_replicas_belong_to_autoscaler_while_it_exists(env: FaultEnv, figures: Figures) -> None:
    await env.apply(make.host_object(minReplicas=1, maxReplicas=4), make.model_object("one"))
    await env.right()
    await env.do("scale", "deployment", DEPLOYMENT, "--replicas=2")
    await env.quiet()
    await _scaled_by_an_autoscaler(env, 3)
    await env.apply(make.host_object(minReplicas=1, maxReplicas=5), make.model_object("two"))
    await env.right()
    await env.quiet()
    assert (_replicas(env), _are_ours(env)) == (3, False)
    await env.apply(make.host_object(minReplicas=2, maxReplicas=2))
    began = time.monotonic()
    await eventually_in_thread(lambda: _replicas(env) == 2, "without an autoscaler the number is the host's")
    figures.take("14 replicas without an autoscaler: seconds until they are the host's", time.monotonic() - began, "s")
    await env.do("scale", "deployment", DEPLOYMENT, "--replicas=4")
    await eventually_in_thread(lambda: _replicas(env) == 2, "and stays the host's")
    assert _are_ours(env)
    await env.right()
    await env.judge()


async def _scaled_by_an_autoscaler(env: FaultEnv, replicas: int) -> None:
    """Set the replicas as the controller of a HorizontalPodAutoscaler does: by the subresource `scale`."""
    patch = json.dumps({"spec": {"replicas": replicas}})
    words = ("--subresource=scale", "--type=merge", "--field-manager=an-autoscaler", "-p", patch)
    await env.do("patch", "deployment", DEPLOYMENT, *words)


def _replicas(env: FaultEnv) -> int:
    return int(env.kubectl.get("deployment", DEPLOYMENT)["spec"]["replicas"])


def _are_ours(env: FaultEnv) -> bool:
    """Return whether the operator applies the field `replicas`."""
    deployment = json.loads(env.kubectl("get", "deployment", DEPLOYMENT, "-o", "json", "--show-managed-fields"))
    (own,) = (each for each in deployment["metadata"]["managedFields"] if each["manager"] == names.MANAGER)
    return "f:replicas" in own["fieldsV1"]["f:spec"]


async def test_fault_18_burst_of_creates_places_as_many_models_as_fit(env: FaultEnv, figures: Figures) -> None:
    fitting = 20
    await env.apply(make.host_object(memory=f"{100 * fitting}Mi"))
    await env.right()
    async with faults.many_creates(env):
        pass
    figures.take("18 four times as many models as fit, at once: seconds until all is right", await env.right(), "s")
    for _ in range(3):
        placed = _placed(env)
        assert len(placed) == fitting
        await env.do("delete", "tm", placed[0], "--wait=false")
        await env.right()
    await env.judge()


async def test_fault_19_namespace_with_placed_models_is_deleted_soon(env: FaultEnv, figures: Figures) -> None:
    await env.apply(make.host_object(memory="64Gi"), *(make.model_object(f"m-{number}") for number in range(20)))
    began = time.monotonic()
    name = env.kubectl.namespace
    await env.do("delete", "namespace", name, "--wait=false")
    await eventually_in_thread(lambda: not env.kubectl.exists("namespace", name), "the namespace is gone", 120)
    figures.take("19 namespace deleted in mid-work: seconds until it is gone", time.monotonic() - began, "s")
    await eventually(lambda: env.proxy.idle() > QUIET, "writes stop", 60, SLOW_PAUSE)
    refused = Counter((each.status, each.path) for each in env.proxy.history if each.verb in WRITES and each.at > began)
    ending = sum(count for (status, _), count in refused.items() if status == 403)
    assert ending <= MAX_IN_FLIGHT + EVENTS_IN_FLIGHT, "the first refusal stops all writes but those in flight"
    again = {path: count for (status, path), count in refused.items() if status == 404 and count > 1}
    assert not again, "what is gone is written once at most"
    assert env.operator.starts == 1
    await _placed_in_new_namespace(env, name)


async def _placed_in_new_namespace(env: FaultEnv, name: str) -> None:
    """Create the namespace again, and wait until the operator writes to it."""
    await env.do("create", "namespace", name)
    await asyncio.to_thread(configure, env.kubectl)
    await env.apply(make.host_object(), make.model_object("one"))
    await env.right()


async def test_fault_21_expired_token_is_read_again(env: FaultEnv, figures: Figures) -> None:
    tokens = Tokens(env)
    await tokens.next()
    tokens.use(env.folder / "operator.kubeconfig")
    starts = env.operator.starts
    env.operator.kill()
    await eventually(lambda: env.operator.starts > starts)
    await env.operator.ready()
    await env.furnish()
    await tokens.next()
    await asyncio.sleep(11)  # for so long the API server believes what it has checked
    faults.cut(env)
    await env.change()
    figures.take(f"21 the token ends: {AGAIN}", await env.right(), "s")
    assert [each for each in env.proxy.history if each.status == 401], "the old token was refused"
    await env.judge()
    assert env.operator.starts == starts + 1, "it lives on"


async def test_fault_22_foreign_object_with_name_of_child_stays_unchanged(env: FaultEnv, figures: Figures) -> None:
    await env.do("create", "service", "clusterip", HOST, "--tcp=80:80")
    await env.do("label", "service", HOST, f"{expectations.FOREIGN}=yes")
    await env.apply(make.host_object(), make.model_object("one"))
    await eventually_in_thread(lambda: "does not belong" in _host_says(env), "the host says whose name it is")
    await env.quiet()
    assert expectations.foreign_objects_stay_unchanged(env.recorder.history) == []
    await env.do("delete", "service", HOST)
    figures.take("22 a name is free again: seconds until all is right", await env.right(), "s")
    await env.judge()


def _reason(env: FaultEnv, model: str) -> str:
    return str(condition(env.kubectl.get("tm", model)).get("reason"))


def _host_says(env: FaultEnv) -> str:
    conditions = env.kubectl.get("isvc", HOST).get("status", {}).get("conditions", [])
    return " ".join(each.get("message", "") for each in conditions)


def _placed(env: FaultEnv) -> list[str]:
    config = expectations.latest(env.recorder.history).get((kinds.CONFIG_MAP.name, CONFIG), {})
    return [each.model_name for each in expectations.entries(config)]


def _uid(env: FaultEnv) -> str:
    return str(env.kubectl.get("isvc", HOST)["metadata"]["uid"])


def _owners(env: FaultEnv) -> set[str]:
    children = env.kubectl.list("deployment,service,configmap,ingress", "-l", "app.kubernetes.io/managed-by=manyserve")
    return {owner["uid"] for each in children for owner in each["metadata"]["ownerReferences"]}
