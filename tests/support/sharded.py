"""Snapshots of heterogeneous hosts, and changes of the reports of their shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from manyserve.api.agentreport import ModelReport, ModelState
from manyserve.api.inferenceservice import HETEROGENEOUS, HOMOGENEOUS
from manyserve.api.names import Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.observed import Observed
from manyserve.plan.rules import allocation
from tests.support import make, world

KEY = Key("default", "triton-mms")


@contextmanager
def served() -> Iterator[None]:
    """Let hosts be heterogeneous."""
    with patch.object(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS)):
        yield


def model(
    name: str = "a", copies: int = 1, memory: str = "1Gi", *, year: int = 2026, uri: str = "", **fields: Any
) -> TrainedModel:
    """Return a model with a number of copies; one of an earlier year is placed first."""
    created = f"{year}-01-01T00:00:00Z"
    raw = make.model_object(name, memory=memory, uri=uri or f"gs://models/{name}", created=created)
    return TrainedModel.from_wire(raw | {"spec": raw["spec"] | {"minReplicas": copies} | fields})


def host(*models: TrainedModel, least: int = 3, most: int = 4, memory: str = "2Gi") -> Observed:
    """Return a heterogeneous host on which nothing is placed yet."""
    of = make.host(memory=memory, allocation=HETEROGENEOUS, minReplicas=least, maxReplicas=most)
    return Observed(KEY, make.config(), of, models=models)


def settled(*models: TrainedModel, **fields: Any) -> Observed:
    """Return a settled heterogeneous host."""
    return world.settle(world.settle(host(*models, **fields)))


def on_shard(observed: Observed, index: int, name: str, state: ModelState, **fields: Any) -> Observed:
    """Return the snapshot with another report about a model on the pod of a shard."""
    uid = f"uid-pod-s{index}"
    report = observed.agents[uid]
    changed = ModelReport(state=state, digest=report.models[name].digest, **fields)
    models = report.models | {name: changed}
    return replace(observed, agents={**observed.agents, uid: report.model_copy(update={"models": models})})


def with_pod(observed: Observed, index: int, *, ready: bool) -> Observed:
    """Return the snapshot in which the pod of a shard is ready, or not."""
    name = f"pod-s{index}"
    status = make.pod(ready=ready)["status"]
    pods = tuple(pod | {"status": status} if pod["metadata"]["name"] == name else pod for pod in observed.pods)
    return replace(observed, pods=pods)


def with_routers(observed: Observed, **fields: Any) -> Observed:
    """Return the snapshot with other reports of all routers."""
    reports = {uid: each.model_copy(update=fields) for uid, each in observed.router_reports.items()}
    return replace(observed, router_reports=reports)


def changed(observed: Observed, *models: TrainedModel) -> Observed:
    """Return the snapshot in which users changed these models, which keep their statuses."""
    status = {each.metadata.name: each.status for each in observed.models}
    newest = {each.metadata.name: each for each in observed.models} | {
        each.metadata.name: each.model_copy(update={"status": status[each.metadata.name]}) for each in models
    }
    return replace(observed, models=tuple(newest.values()))
