"""Simulated cluster: it applies plans to the observed state from which they were made.

It plays the API server, the deployment controller, the kubelet, the ingress controller and the agents, at once and
without failures. So a test can check the next plan.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeVar

from manyserve.api import modelconfig, names, routerenv
from manyserve.api.agentreport import ModelState
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.routerreport import RouterReport
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.actions import Plan, SetStatus
from manyserve.plan.model_config import text_of
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from tests.support import make, replicas
from tests.support.merge_patch import merge_patch

Manifest = dict[str, Any]
Thing = TypeVar("Thing", InferenceService, TrainedModel)


def carry_out(observed: Observed, todo: Plan) -> Observed:
    """Return the observed state after the plan was applied."""
    children = dict(observed.children)
    manifests = [each.manifest for each in todo.applies] + [each.manifest for each in todo.configs]
    for manifest in manifests:
        child = Child(manifest["kind"], manifest["metadata"]["name"])
        children[child] = _stored(children.get(child), manifest)
    for gone in todo.deletes:
        del children[gone.child]
    left = {model.name for departure in todo.departures for model in departure.models}
    models = tuple(_model(each, todo) for each in observed.models if each.metadata.name not in left)
    return replace(observed, children=children, models=models, host=_host(observed.host, todo))


def settle(observed: Observed) -> Observed:
    """Return the observed state with running pods, and agents that have loaded the placed models."""
    for _ in range(4):
        observed = agents_follow(carry_out(observed, plan(observed, make.NOW)))
    return observed


def placed(observed: Observed) -> set[str]:
    """Return the names of the placed models."""
    manifest = observed.child("ConfigMap", names.model_config(observed.key.name))
    assert manifest is not None
    return {entry.model_name for entry in modelconfig.parse(text_of(manifest) or "")}


def _stored(old: Manifest | None, manifest: Manifest) -> Manifest:
    stored = deepcopy(manifest)
    before = old["metadata"] if old else {}
    stored["metadata"] |= {
        "uid": before.get("uid", f"uid-{manifest['kind']}"),
        "resourceVersion": str(int(before.get("resourceVersion", "0")) + 1),
        "generation": 1,
    }
    if manifest["kind"] == "Deployment":
        count = manifest["spec"].get("replicas", 1)
        stored["status"] = {
            "observedGeneration": 1,
            "conditions": [{"type": "Available", "status": "True"}],
        } | dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), count)
    if manifest["kind"] == "Ingress":
        stored["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    return stored


def _host(host: InferenceService | None, todo: Plan) -> InferenceService | None:
    patch = _patch_for("InferenceService", host.metadata.name, todo) if host else None
    return _parsed(host, _patched(host, patch)) if host and patch else host


def _model(model: TrainedModel, todo: Plan) -> TrainedModel:
    wire = _patched(model, _patch_for("TrainedModel", model.metadata.name, todo))
    for write in todo.owner_references:
        if write.model == model.metadata.name:
            wire["metadata"]["ownerReferences"] = list(write.owners)
    return _parsed(model, wire)


def _parsed(thing: Thing, wire: Manifest) -> Thing:
    """Return an object as its informer has it. The wire form of a parsed object has no unknown fields any more."""
    return type(thing).from_wire(wire).model_copy(update={"unknown_fields": thing.unknown_fields})


def _patch_for(kind: str, name: str, todo: Plan) -> SetStatus | None:
    return next((each for each in todo.statuses if (each.kind, each.name) == (kind, name)), None)


def _patched(thing: InferenceService | TrainedModel, write: SetStatus | None) -> dict[str, Any]:
    wire = thing.to_wire()
    return wire | {"status": merge_patch(wire.get("status") or {}, write.patch)} if write else wire


def agents_follow(observed: Observed) -> Observed:
    """Return the observed state after the agents have loaded the placed models."""
    if observed.host is not None and observed.host.spec.predictor.is_heterogeneous:
        return _shards_follow(observed)
    manifest = observed.child("ConfigMap", names.model_config(observed.key.name))
    if manifest is None:
        return observed
    text = text_of(manifest) or ""
    try:
        report = make.report(*modelconfig.parse(text), config=modelconfig.content_hash(text))
    except ValueError:  # an earlier host's ConfigMap with a manual edit: agents keep their models
        return observed
    return replace(observed, agents={pod["metadata"]["uid"]: report for pod in observed.pods})


def _shards_follow(observed: Observed) -> Observed:
    """Return the observed state with one ready pod for each shard, on which all its models are loaded and routed."""
    pods, agents = [], {}
    for child, deployment in observed.children.items():
        index = names.shard_of_deployment(observed.key.name, child.name) if child.kind == "Deployment" else None
        config_map = observed.child("ConfigMap", names.model_config(observed.key.name, index or 0))
        if index is None or config_map is None:
            continue
        pod = make.pod(f"pod-s{index}")
        pod["metadata"]["labels"] |= deployment["spec"]["template"]["metadata"]["labels"]
        text = text_of(config_map) or ""
        report = make.report(*modelconfig.parse(text), config=modelconfig.content_hash(text), routed=True)
        pods.append(pod)
        agents[pod["metadata"]["uid"]] = report
    return _routers_follow(replace(observed, pods=tuple(pods), agents=agents))


def _routers_follow(observed: Observed) -> Observed:
    """Return the observed state with ready routers that lead requests to all loaded models."""
    deployment = observed.child("Deployment", names.router(observed.key.name))
    config_map = observed.child("ConfigMap", names.router(observed.key.name))
    if deployment is None or config_map is None:
        return observed
    reported = [item for agent in observed.agents.values() for item in agent.models.items()]
    report = RouterReport(
        instance="r",
        revision=1,
        ready=True,
        pods=modelconfig.content_hash(config_map["data"][routerenv.PODS_KEY]),
        models=frozenset(name for name, model in reported if model.state is ModelState.LOADED),
    )
    pods = [make.pod(f"router-{number + 1}") for number in range(deployment["spec"]["replicas"])]
    for pod in pods:
        pod["metadata"]["labels"] = names.router_selector(observed.key.name)
        pod["metadata"]["ownerReferences"] = replicas.router_owners()
    reports = {pod["metadata"]["uid"]: report for pod in pods}
    return replace(observed, router_pods=tuple(pods), router_reports=reports)
