"""Plans of whole hosts: children, config, statuses and events, and the empty plan of a settled host."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions, modelconfig, names
from manyserve.api.agentreport import ModelState
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.observed import Child, Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.support import make, world

KEY = Key("default", "triton-mms")


def seen(*models: TrainedModel, **fields: object) -> Observed:
    start = Observed(key=KEY, config=make.config(), host=make.host(), models=models, pods=(make.pod(),))
    return replace(start, **fields)  # type: ignore[arg-type]


def ready(model: TrainedModel) -> tuple[str, str | None, str | None]:
    condition = conditions.find(model.status.conditions, conditions.READY)
    assert condition is not None
    return condition.status, condition.reason, condition.message


def test_plan_of_settled_host_is_empty() -> None:
    settled = world.settle(seen(make.model("cifar10"), make.model("simple-string")))
    assert plan(settled, make.NOW).empty
    assert [ready(each)[0] for each in settled.models] == ["True", "True"]
    assert [each.status.loaded for each in settled.models] == ["1/1", "1/1"]


def test_plan_leaves_no_reference_cycle_to_the_snapshot() -> None:
    snapshot = seen(make.model("cifar10"))
    reference = weakref.ref(snapshot)
    gc.disable()
    try:
        plan(snapshot, make.NOW)
        del snapshot
        assert reference() is None, "a reference cycle would keep thousands of models of some hundred plans alive"
    finally:
        gc.enable()


def test_host_without_models_is_ready() -> None:
    settled = world.settle(seen())
    assert settled.host is not None
    condition = conditions.find(settled.host.status.conditions, conditions.READY)
    assert condition
    assert condition.status == "True"
    predictor = settled.host.status.components and settled.host.status.components.predictor
    assert predictor
    assert predictor.latest_ready_revision == "triton-mms-predictor-default-00001"
    assert predictor.traffic
    assert predictor.traffic[0].percent == 100


def test_model_without_host_waits_for_it_by_name() -> None:
    todo = plan(seen(make.model(), host=None, pods=()), make.NOW)
    waiting = world.carry_out(seen(make.model(), host=None), todo).models[0]
    status, reason, message = ready(waiting)
    assert (status, reason) == ("False", "InferenceServiceNotFound")
    assert message == "waiting for InferenceService triton-mms, which does not exist in namespace default"
    assert not todo.applies
    assert not todo.deletes


def test_model_is_pending_before_the_agent_reports_it() -> None:
    settled = world.settle(seen(make.model()))
    late = replace(settled, agents={"uid-pod-1": make.report()})
    again = world.carry_out(late, plan(late, make.NOW)).models[0]
    assert ready(again)[:2] == ("False", "Pending")
    assert again.status.loaded == "0/1"


def test_model_is_not_ready_while_the_server_does_not_answer() -> None:
    settled = world.settle(seen(make.model()))
    entry = entry_of(settled.models[0])
    killed = replace(settled, agents={"uid-pod-1": make.report(entry, server=False)})
    fallen = world.carry_out(killed, plan(killed, make.NOW))
    assert ready(fallen.models[0])[0] == "False"
    assert ready(world.settle(fallen).models[0])[0] == "True"


def test_failed_download_leads_to_a_condition_and_one_event() -> None:
    settled = world.settle(seen(make.model()))
    entry = entry_of(settled.models[0])
    report = make.report(
        entry,
        state=ModelState.DOWNLOAD_FAILED,
        attempt=3,
        message="gs://kfserving-examples/models/torchscript/cifar10 has no objects",
        next_try="2026-01-01T00:00:09Z",
    )
    failing = replace(settled, agents={"uid-pod-1": report})
    todo = plan(failing, make.NOW)
    assert [(each.type, each.reason) for each in todo.events] == [("Warning", "DownloadFailed")]
    after = world.carry_out(failing, todo)
    assert ready(after.models[0]) == (
        "False",
        "DownloadFailed",
        "pod-1: gs://kfserving-examples/models/torchscript/cifar10 has no objects "
        "(attempt 3, next try at 2026-01-01T00:00:09Z)",
    )
    assert after.models[0].status.last_failure
    later = replace(after, agents={"uid-pod-1": report.model_copy(update={"revision": 9})})
    assert not plan(later, make.NOW).events
    assert world.settle(after).models[0].status.last_failure is None


def test_model_loaded_on_one_of_two_replicas_is_not_ready() -> None:
    pods = (make.pod("pod-1"), make.pod("pod-2"))
    settled = world.settle(seen(make.model(), pods=pods))
    entry = entry_of(settled.models[0])
    reports = {
        "uid-pod-1": make.report(entry),
        "uid-pod-2": make.report(entry, state=ModelState.LOAD_FAILED, message="no memory", attempt=1),
    }
    half = replace(settled, agents=reports)
    model = world.carry_out(half, plan(half, make.NOW)).models[0]
    assert model.status.loaded == "1/2"
    assert ready(model) == ("False", "LoadFailed", "loaded on 1 of 2 replicas; pod-2: no memory (attempt 1)")


def test_multi_model_serving_turned_off_unloads_nothing() -> None:
    settled = world.settle(seen(make.model()))
    off = replace(settled, config=make.config(multi_model=False))
    todo = plan(off, make.NOW)
    assert todo.configs == ()
    assert not todo.applies
    after = world.carry_out(off, todo)
    assert ready(after.models[0])[:2] == ("False", "IsNotMMSPredictor")
    corrected = world.settle(replace(after, config=make.config()))
    assert ready(corrected.models[0])[0] == "True"


def test_changed_uri_changes_the_config_and_readiness() -> None:
    settled = world.settle(seen(make.model()))
    changed = make.model(uri="gs://elsewhere/cifar10").model_copy(update={"status": settled.models[0].status})
    todo = plan(replace(settled, models=(changed,)), make.NOW)
    assert todo.configs
    after = world.carry_out(replace(settled, models=(changed,)), todo)
    assert ready(after.models[0])[0] == "False"


def test_deleted_model_is_removed_from_the_config() -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))
    after = world.settle(replace(settled, models=settled.models[1:]))
    assert world.placed(after) == {"b"}
    assert ready(after.models[0])[0] == "True"


def test_config_write_has_the_observed_resource_version() -> None:
    settled = world.settle(seen(make.model("a")))
    todo = plan(replace(settled, models=(*settled.models, make.model("b"))), make.NOW)
    assert todo.configs
    assert todo.configs[0].resource_version == "1"


def test_config_refresh_is_planned_until_the_agent_has_the_config() -> None:
    settled = world.settle(seen(make.model("a")))
    behind = replace(settled, agents={"uid-pod-1": make.report(config="old")})
    todo = plan(behind, make.NOW)
    assert [each.pod for each in todo.config_refreshes] == ["pod-1"]
    wanted = modelconfig.content_hash(
        settled.children[Child("ConfigMap", "modelconfig-triton-mms-0")]["data"]["models.json"]
    )
    assert todo.config_refreshes[0].config_hash.startswith(f"{wanted}.1.")
    touched = replace(behind, pods=(make.pod(annotations={names.CONFIG_HASH: todo.config_refreshes[0].config_hash}),))
    again = plan(touched, make.NOW)
    assert not again.config_refreshes
    assert again.requeue_after == pytest.approx(1.0)


def test_children_of_an_earlier_host_are_not_adopted() -> None:
    settled = world.settle(seen(make.model()))
    assert settled.host
    reborn = settled.host.model_copy(update={"metadata": settled.host.metadata.model_copy(update={"uid": "another"})})
    todo = plan(replace(settled, host=reborn), make.NOW)
    assert not todo.applies
    assert not todo.deletes
    assert todo.configs == ()
    assert todo.requeue_after == 1.0


def test_children_that_are_not_wanted_are_deleted() -> None:
    scaled = world.settle(seen(host=make.host(minReplicas=2, maxReplicas=4)))
    assert Child("HorizontalPodAutoscaler", "triton-mms-predictor-default") in scaled.children
    assert Child("PodDisruptionBudget", "triton-mms-predictor-default") in scaled.children
    after = world.settle(replace(scaled, host=make.host()))
    kinds = {child.kind for child in after.children}
    assert kinds == {"Deployment", "Service", "ConfigMap", "Ingress"}


def test_changed_pod_template_increments_the_revision() -> None:
    settled = world.settle(seen())
    assert settled.host
    changed = make.host(memory="4Gi").model_copy(update={"status": settled.host.status})
    after = world.settle(replace(settled, host=changed))
    assert after.host
    predictor = after.host.status.components and after.host.status.components.predictor
    assert predictor
    assert predictor.latest_ready_revision == "triton-mms-predictor-default-00002"
    assert predictor.previous_rolledout_revision == "triton-mms-predictor-default-00001"


def test_edited_deployment_is_applied_with_the_difference_as_reason() -> None:
    settled = world.settle(seen())
    child = Child("Deployment", "triton-mms-predictor-default")
    edited = settled.children[child] | {"spec": settled.children[child]["spec"] | {"replicas": 0}}
    todo = plan(replace(settled, children={**settled.children, child: edited}), make.NOW)
    assert [each.reason for each in todo.applies] == ["spec.replicas is 0, not 1"]


def test_host_that_becomes_cluster_local_loses_its_ingress_and_stays_ready() -> None:
    settled = world.settle(seen(make.model()))
    assert settled.host
    labels = {"networking.knative.dev/visibility": "cluster-local"}
    metadata = settled.host.metadata.model_copy(update={"labels": labels})
    changed = replace(settled, host=settled.host.model_copy(update={"metadata": metadata}))
    todo = plan(changed, make.NOW)
    assert [each.child for each in todo.deletes] == [Child("Ingress", "triton-mms")]
    assert not todo.applies, "no pod is replaced"
    after = world.settle(changed)
    assert after.host
    internal = "http://triton-mms.default.svc.cluster.local"
    assert after.host.status.url == internal
    assert after.models[0].status.url == f"{internal}/v2/models/cifar10/infer"
    assert ready(after.models[0])[0] == "True", "no Ingress is awaited"
    exposed = world.settle(replace(after, host=after.host.model_copy(update={"metadata": settled.host.metadata})))
    assert Child("Ingress", "triton-mms") in exposed.children


def test_host_with_foreign_service_is_not_ready() -> None:
    settled = world.settle(seen(make.model()))
    service = Child("Service", "triton-mms")
    children = {child: each for child, each in settled.children.items() if child != service}
    refused = replace(settled, children=children, failures={service: "it belongs to somebody else"})
    after = world.carry_out(refused, replace(plan(refused, make.NOW), applies=()))
    assert after.host
    condition = conditions.find(after.host.status.conditions, conditions.READY)
    assert condition
    assert (condition.status, condition.reason) == ("False", "ApplyFailed")
    assert ready(after.models[0])[:2] == ("False", "InferenceServiceNotReady")


def test_host_that_breaks_a_rule_gets_no_deployment() -> None:
    todo = plan(seen(host=make.host(triton={"args": ["--model-control-mode=poll"]})), make.NOW)
    assert "Deployment" not in {each.manifest["kind"] for each in todo.applies}
    (write,) = todo.statuses
    (condition,) = [each for each in write.patch["conditions"] if each["type"] == "PredictorReady"]
    assert condition["reason"] == "InvalidSpec"
    assert "--model-control-mode" in condition["message"]


def test_entry_of_unparsable_model_stays_placed() -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))
    blind = replace(settled, models=(settled.models[1], make.model("c")), unparsable=frozenset({"a"}))
    assert world.placed(world.settle(blind)) == {"a", "b"}


memories = st.sampled_from(["1", "512Mi", "0.5Gi", "1Gi", "1500M", "3Gi"])


@given(st.lists(memories, max_size=12), st.randoms())
def test_plan_of_any_models_settles_independent_of_their_order(wanted: list[str], random: object) -> None:
    models = [make.model(f"m{index}", memory=memory) for index, memory in enumerate(wanted)]
    settled = world.settle(seen(*models))
    assert plan(settled, make.NOW).empty
    shuffled = list(models)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert world.placed(world.settle(seen(*shuffled))) == world.placed(settled)
