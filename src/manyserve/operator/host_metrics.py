"""Metrics by namespace and host, made at each scrape from the counts of the leader.

No label names a model. So the number of series depends on the number of hosts alone: tests/metrics counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from manyserve.api import conditions, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import Key
from manyserve.api.quantity import parse_quantity
from manyserve.cluster.kinds import DEPLOYMENT
from manyserve.cluster.state import ClusterState
from manyserve.operator.agent_poller import AgentPoller
from manyserve.plan.children.replicas import replicas_number
from manyserve.plan.memory import memory_limit
from manyserve.plan.pods import is_ready
from manyserve.plan.status.model_state import CountedState, StateOfModel

_Counts = Mapping[str, float]


@dataclass(frozen=True)
class HostFigures:
    """The figures of one host, or of a name for which models wait."""

    key: Key
    exists: bool = True
    is_ready: bool = False
    models: _Counts = field(default_factory=dict)
    waiting: _Counts = field(default_factory=dict)
    memory: _Counts = field(default_factory=dict)
    replicas: _Counts = field(default_factory=dict)
    agents: _Counts = field(default_factory=dict)


Source = Callable[[], Iterable[HostFigures]]


class HostCollector(Collector):
    """Collector of the metrics by host."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._source: Source = tuple
        registry.register(self)

    def set_source(self, source: Source) -> None:
        """Take the figures from another function."""
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, with a sample for each host."""
        figures = list(self._source())
        hosts = [each for each in figures if each.exists]
        yield from (
            _family("manyserve_host_ready", "1 while the host is ready, else 0.", "", _ready(hosts)),
            _family("manyserve_host_models", "Models of the host, by state.", "state", _of(hosts, "models")),
            _family(
                "manyserve_host_memory_bytes",
                "Memory that the placed models declare, as rounded in the status, and the limit of the server; "
                "on a heterogeneous host the limits of all its servers.",
                "kind",
                _of(hosts, "memory"),
            ),
            _family("manyserve_host_replicas", "Desired and ready pods of the host.", "state", _of(hosts, "replicas")),
            _family(
                "manyserve_agents",
                "Agents of the host's running pods; a silent agent has no report.",
                "state",
                _of(hosts, "agents"),
            ),
            _family(
                "manyserve_models_waiting",
                "Models that wait for something else than their download and load; without a host label, for a host.",
                "reason",
                [*_of(hosts, "waiting"), *_without_host(figures)],
            ),
        )


_Samples = Iterable[tuple[Key, str, float]]


def _family(name: str, text: str, label: str, samples: _Samples) -> Metric:
    labels = ["namespace", "host", label] if label else ["namespace", "host"]
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value, number in samples:
        family.add_metric([*key, value] if label else [*key], number)
    return family


def _ready(hosts: Iterable[HostFigures]) -> _Samples:
    return [(each.key, "", float(each.is_ready)) for each in hosts]


def _of(hosts: Iterable[HostFigures], counts: str) -> _Samples:
    return [(each.key, label, number) for each in hosts for label, number in getattr(each, counts).items()]


def _without_host(figures: Iterable[HostFigures]) -> _Samples:
    """Return the models by namespace that wait for hosts that do not exist: a user may name any number of those."""
    waiting: dict[tuple[str, str], float] = {}
    for each in figures:
        for reason, number in {} if each.exists else each.waiting.items():
            waiting[each.key.namespace, reason] = waiting.get((each.key.namespace, reason), 0.0) + number
    return [(Key(namespace, ""), reason, number) for (namespace, reason), number in waiting.items()]


def host_figures(state: ClusterState, poller: AgentPoller) -> Iterator[HostFigures]:
    """Yield the figures of all hosts, and of the names of hosts for which models wait."""
    counts = state.model_counts.by_host
    for key, host in state.hosts.items():
        pods, desired = state.replicas(key), _desired(state, key)
        reporting, silent = poller.count(key)
        yield HostFigures(
            key,
            is_ready=_is_host_ready(host),
            models=_by_state(counts.get(key, {})),
            waiting=_by_reason(counts.get(key, {})),
            memory={"declared": _declared(host), "limit": memory_limit(host) * _shards(host, desired)},
            replicas={"desired": desired, "ready": sum(map(is_ready, pods))},
            agents={"reporting": reporting, "silent": silent},
        )
    for key in counts.keys() - state.hosts.keys():
        yield HostFigures(key, exists=False, waiting=_by_reason(counts[key]))


def _is_host_ready(host: InferenceService) -> bool:
    ready = conditions.find(host.status.conditions, conditions.READY)
    return ready is not None and ready.status == "True"


def _by_state(counts: Mapping[StateOfModel, int]) -> dict[str, float]:
    states = {each.value: 0.0 for each in CountedState}
    for (state, _), number in counts.items():
        states[state.value] += number
    return states


def _by_reason(counts: Mapping[StateOfModel, int]) -> dict[str, float]:
    return {reason: float(number) for (_, reason), number in counts.items() if reason}


def _declared(host: InferenceService) -> int:
    """Return the declared memory of the placed models from the host's status, or 0 before there is one."""
    text = (host.status.memory or "").partition("/")[0]
    try:
        return int(parse_quantity(text))  # a rounded number such as 1.03Gi is no whole number of bytes
    except ValueError:
        return 0


def _desired(state: ClusterState, key: Key) -> int:
    """Return the desired pods with models: those of all Deployments but that of the routers."""
    routers = names.router(key.name)
    return sum(
        replicas_number(manifest)
        for child, manifest in state.children.get(key, {}).items()
        if child.kind == DEPLOYMENT.name and child.name != routers
    )


def _shards(host: InferenceService, desired: int) -> int:
    """Return the number of pods that have models of their own."""
    return max(desired, 1) if host.spec.predictor.is_heterogeneous else 1
