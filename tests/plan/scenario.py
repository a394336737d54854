"""Convert the YAML documents of a scenario to the snapshot of one host. tests/data/plan/README.md explains the format.

The documents pass through the functions that serve the informers: they update a `ClusterState`, and `observe` makes
the snapshot.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import yaml

from manyserve.api import modelconfig, names, servingconfig
from manyserve.api.agentreport import AgentReport
from manyserve.api.modelconfig import Entry
from manyserve.api.names import Key
from manyserve.api.routerreport import RouterReport
from manyserve.cluster.departures import Departures
from manyserve.cluster.observe import observe
from manyserve.cluster.state import ClusterState
from manyserve.plan.children.take_over import is_foreign
from manyserve.plan.model_config import text_of
from manyserve.plan.observed import Child, Observed
from manyserve.plan.plan import plan
from manyserve.plan.pods import shard_of
from manyserve.plan.true_replicas import controller_of
from tests.plan.scenario_objects import CHILDREN, Manifest, defaults, flattened, host_name, is_serving_config
from tests.support import make, replicas, world
from tests.support.merge_patch import merge_patch

DATA = Path(__file__).parents[1] / "data" / "plan"
NOW = "2026-01-01T01:00:00Z"
"""Time of the plan when the header has none: one hour after the creation of all objects."""


class _State(ClusterState):
    """Cluster state in which each pod of the host is a replica or a router, by its ReplicaSet.

    `tests/plan/test_true_replicas.py` has the other pods.
    """

    def replicas(self, key: Key) -> tuple[Manifest, ...]:
        return tuple(pod for pod in self.pods.get(key, {}).values() if not _is_router(pod))

    def routers(self, key: Key) -> tuple[Manifest, ...]:
        return tuple(filter(_is_router, self.pods.get(key, {}).values()))


class Scenario:
    """Documents of one input file."""

    def __init__(self, documents: Iterable[Manifest]) -> None:
        self._documents = list(flattened(documents))
        header = next((each for each in self._documents if each["kind"] == "Scenario"), {})
        self.now = datetime.fromisoformat(header.get("now", NOW))
        self.whole_manifests: bool = header.get("wholeManifests", False)
        self._gone_for: float = header.get("hostGoneForSeconds", 0.0)
        self._seconds = 0.0
        self._host = Key("default", host_name(self._documents))
        self._objects: dict[Child, Manifest] = {}
        self._version = 0
        self._state = _State(lambda _key: None)
        self._state.departures = Departures(lambda: self._seconds)
        self._state.accounts.update(None, {"metadata": {"name": "default", "namespace": "default"}})

    def observed(self) -> Observed | None:
        """Return the snapshot, or None when the operator leaves the host as it is."""
        start = itertools.takewhile(lambda document: document["kind"] != "Settled", self._documents)
        if not any(map(is_serving_config, start)):
            self._take(yaml.safe_load((DATA / "inferenceservice-config.yaml").read_text()))
        for document in self._documents:
            self._take(document)
        observe(self._state, self._host)  # begins the grace period of a host that is gone
        self._seconds = self._gone_for
        return observe(self._state, self._host)

    def _take(self, document: Manifest) -> None:
        kind = document["kind"]
        if kind == "Settled":
            self._settle()
        elif kind == "Planned":
            self._apply_plan()
        elif kind == "Deleted":
            for name in document["objects"]:
                self._store(Child(*name.split("/")), None)
        elif kind == "AgentReport":
            self._report(document)
        elif kind == "RouterReport":
            self._report_of_router(document)
        elif kind != "Scenario":
            self._apply(document)

    def _apply(self, document: Manifest) -> None:
        """Store an object as `kubectl apply` would: an absent field keeps its value, or gets its default."""
        name = Child(document["kind"], document["metadata"]["name"])
        if is_serving_config(document):
            self._configure(document)
            return
        before = self._objects.get(name)
        after = merge_patch(before or defaults(document, self._host.name), document)
        if before is not None and before.get("spec") != after.get("spec"):
            after["metadata"]["generation"] += 1
        self._store(name, after)

    def _configure(self, document: Manifest) -> None:
        try:
            self._state.config = servingconfig.parse(document["data"])
        except servingconfig.ConfigError:
            return  # the last valid configuration stays, as in the operator

    def _store(self, name: Child, after: Manifest | None) -> None:
        """Hand a change to the function that serves the informer of its kind; None: the object was deleted."""
        before = self._objects.pop(name, None)
        if after is not None:
            self._version += 1
            after["metadata"]["resourceVersion"] = str(self._version)
            self._objects[name] = after
        if after is not None and name.kind in CHILDREN and is_foreign(after):
            self._state.foreign[self._host] = self._state.foreign.get(self._host, frozenset()) | {name}
            return  # the operator watches objects with its label only, and sees this one at an apply
        stored = {"InferenceService": self._state.update_host, "TrainedModel": self._state.update_model}
        stored["Pod"] = self._state.update_pod
        stored.get(name.kind, self._state.update_child)(before, after)

    def _settle(self) -> None:
        """Simulate operator, kubelet and agents until the documents before are settled."""
        if not any(name.kind == "Pod" for name in self._objects) and not self._is_heterogeneous():
            for number in range(self._replicas()):
                self._apply({"kind": "Pod", "metadata": {"name": f"pod-{number + 1}"}})
        self._store_all(world.settle(self._snapshot()))

    def _apply_plan(self) -> None:
        """Apply the operator's plan, before kubelet and agents act on it."""
        observed = self._snapshot()
        self._store_all(world.carry_out(observed, plan(observed, make.NOW)))

    def _snapshot(self) -> Observed:
        observed = observe(self._state, self._host)
        if observed is None:
            raise ValueError("Settled and Planned need a usable configuration")
        return observed

    def _store_all(self, observed: Observed) -> None:
        """Store the objects of the fake cluster."""
        self._state.reports |= observed.agents
        self._state.router_reports |= observed.router_reports
        for child, manifest in observed.children.items():
            self._store(child, manifest)
        if observed.host is not None:
            self._store(Child("InferenceService", self._host.name), observed.host.to_wire())
        for model in observed.models:
            self._store(Child("TrainedModel", model.metadata.name), model.to_wire())
        for pod in (*observed.pods, *observed.router_pods) if self._is_heterogeneous() else ():
            self._store(Child("Pod", pod["metadata"]["name"]), pod)

    def _is_heterogeneous(self) -> bool:
        host = self._state.hosts.get(self._host)
        return host is not None and host.spec.predictor.is_heterogeneous

    def _replicas(self) -> int:
        host = self._state.hosts.get(self._host)
        return max(1, (host.spec.predictor.min_replicas if host else None) or 1)

    def _report(self, document: Manifest) -> None:
        """Change the report of an agent; by default it is about the current `models.json` of its shard."""
        pod = self._objects[Child("Pod", document["pod"])]
        uid = pod["metadata"]["uid"]
        before = self._state.reports.get(uid, AgentReport(instance="a", revision=1, server_ready=True, settled=True))
        manifest = self._objects.get(Child("ConfigMap", names.model_config(self._host.name, shard_of(pod) or 0)))
        text = (text_of(manifest) if manifest else None) or ""
        given = document if "configError" in document else {"config": modelconfig.content_hash(text)} | document
        report = merge_patch(before.to_wire(), given)
        for entry in _entries(text):
            if entry.model_name in document.get("models", {}):
                report["models"][entry.model_name]["digest"] = entry.digest
        self._state.reports[uid] = AgentReport.from_wire(report)

    def _report_of_router(self, document: Manifest) -> None:
        """Change the report of a router."""
        uid = self._objects[Child("Pod", document["pod"])]["metadata"]["uid"]
        before = self._state.router_reports[uid].to_wire()
        self._state.router_reports[uid] = RouterReport.from_wire(merge_patch(before, document))


def read(path: Path) -> Scenario:
    """Return the scenario of an input file."""
    return Scenario(yaml.safe_load_all(path.read_text()))


def _entries(text: str) -> tuple[Entry, ...]:
    try:
        return modelconfig.parse(text) if text else ()
    except ValueError:
        return ()


def _is_router(pod: Manifest) -> bool:
    return controller_of(pod, "ReplicaSet") == replicas.ROUTERS
