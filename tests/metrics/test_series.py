"""Number of series of the operator: it depends on the number of hosts, and never on the number of models."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from manyserve.api import names
from manyserve.api.agentreport import AgentReport
from manyserve.api.inferenceservice import HETEROGENEOUS
from manyserve.api.names import Key
from manyserve.cluster.state import ClusterState
from manyserve.operator import metrics
from manyserve.operator.agent_poller import AgentPoller
from manyserve.operator.host_metrics import HostCollector, HostFigures, host_figures
from manyserve.plan.observed import Child
from manyserve.plan.status.model_state import WAITING, CountedState
from tests.support import make
from tests.support.figures import Figures

HOSTS, MODELS = 100, 10_000
MOST_SERIES = 3000
"""Of an operator with so many hosts, of which each has models that wait for every reason."""


def samples(registry: CollectorRegistry) -> list[str]:
    """Return the lines of a scrape that are samples."""
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def manifests(hosts: int, models: int, reason: str = "Loading") -> ClusterState:
    """Return the state of a cluster with models in equal parts on all hosts."""
    state = ClusterState(lambda _key: None)
    for number in range(hosts):
        host = make.host_object(f"host-{number}")
        host["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "memory": "1.03Gi/2Gi"}
        state.update_host(None, host)
    for number in range(models):
        model = make.model_object(f"model-{number}", host=f"host-{number % hosts}")
        condition = {"type": "Ready", "status": "False", "reason": reason}
        uid = model["metadata"]["uid"]
        model["status"] = {"conditions": [condition], "observedGeneration": 1, "observedUid": uid}
        state.update_model(None, model)
    return state


def collected(state: ClusterState) -> list[str]:
    registry = CollectorRegistry()
    HostCollector(registry).set_source(lambda: host_figures(state, AgentPoller(state, lambda _key: None)))
    return samples(registry)


def test_series_by_host_have_no_label_of_a_model() -> None:
    few, many = collected(manifests(10, 10)), collected(manifests(10, 1000))
    assert len(few) == len(many)
    assert not any("model-" in line for line in many)


def test_series_of_the_operator_stay_below_the_bound(figures: Figures) -> None:
    by_host = collected(manifests(HOSTS, MODELS))
    everywhere = dict.fromkeys(WAITING, 1.0)
    worst = HostFigures(
        Key("n", "h"),
        models={state.value: 1.0 for state in CountedState},
        waiting=everywhere,
        memory={"declared": 1.0, "limit": 1.0},
        replicas={"desired": 1.0, "ready": 1.0},
        agents={"reporting": 1.0, "silent": 1.0},
    )
    registry = CollectorRegistry()
    HostCollector(registry).set_source(lambda: [worst] * HOSTS)
    others = len(samples(metrics.REGISTRY))
    figures.take("series by host, 10,000 models on 100 hosts", len(by_host), "series")
    most = len(samples(registry)) + others
    figures.take("series of the operator, models that wait for each reason", most, "series", below=MOST_SERIES + 1)
    assert len(by_host) < most <= MOST_SERIES


def test_hosts_that_do_not_exist_are_one_series_a_namespace() -> None:
    state = ClusterState(lambda _key: None)
    for number in range(50):
        model = make.model_object(f"model-{number}", host=f"missing-{number}")
        condition = {"type": "Ready", "status": "False", "reason": "InferenceServiceNotFound"}
        uid = model["metadata"]["uid"]
        model["status"] = {"conditions": [condition], "observedGeneration": 1, "observedUid": uid}
        state.update_model(None, model)
    (line,) = collected(state)
    assert line == 'manyserve_models_waiting{host="",namespace="default",reason="InferenceServiceNotFound"} 50.0'


def test_figures_of_a_host_are_those_of_its_status_and_pods() -> None:
    state = manifests(1, 3, "MemoryResourceNotAvailable")
    key = Key("default", "host-0")
    (figures,) = host_figures(state, AgentPoller(state, lambda _key: None))
    assert figures.key == key
    assert figures.is_ready
    assert figures.models == {"ready": 0.0, "loading": 0.0, "waiting": 3.0, "failed": 0.0}
    assert figures.waiting == {"MemoryResourceNotAvailable": 3.0}
    assert figures.memory == {"declared": int(1.03 * 2**30), "limit": 2 * 2**30}


def test_figures_of_a_heterogeneous_host_are_the_sums_over_its_shards() -> None:
    state, key = ClusterState(lambda _key: None), Key("default", "triton-mms")
    state.update_host(None, make.host_object(allocation=HETEROGENEOUS, minReplicas=3, maxReplicas=3))
    deployments = [*(names.shard_deployment(key.name, index) for index in range(3)), names.router(key.name)]
    state.children[key] = {Child("Deployment", each): {"metadata": {}, "spec": {"replicas": 1}} for each in deployments}
    (figures,) = host_figures(state, AgentPoller(state, lambda _key: None))
    assert figures.replicas == {"desired": 3, "ready": 0}
    assert figures.memory == {"declared": 0, "limit": 3 * 2 * 2**30}


def test_agents_are_counted_by_host() -> None:
    state = manifests(1, 0)
    poller, key = AgentPoller(state, lambda _key: None), Key("default", "host-0")
    poller._polled[key] = {"a", "b", "c"}
    state.reports["b"] = AgentReport(instance="a", revision=1)
    (figures,) = host_figures(state, poller)
    assert figures.agents == {"reporting": 1, "silent": 2}
