"""Frozen snapshot of one host: the whole input of a plan, besides the time.

`cluster.observe` fills it from synced caches, never from a partial one. Children and pods are raw objects of the API
server. Hosts, models and reports of agents are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from manyserve.api.agentreport import AgentReport
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GROUP, KSERVE_GROUP, Key
from manyserve.api.routerreport import RouterReport
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan import true_replicas
from manyserve.plan.management import Unmanaged
from manyserve.plan.pods import Replica, replicas_of
from manyserve.plan.routers import Router, led_by_all, routers_of
from manyserve.plan.rules.fields import FieldError
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.sharding.scaling import ALL_MODELS, Decision
from manyserve.plan.staging import Rollouts

Manifest = true_replicas.Manifest
Decisions = Mapping[str, Decision]
"""Decisions about the copies of models, by model."""


@dataclass(frozen=True)
class Scaling:
    """Results of the autoscaler for one host."""

    decisions: Decisions = field(default_factory=dict)
    """The last decision about the copies of each model with traffic; of a homogeneous host by `ALL_MODELS`."""
    loads: Mapping[int, int] = field(default_factory=dict)
    """Requests in flight by shard, in thousandths."""
    host: str = ""
    """Uid of the host."""


S3_PREFIXES = tuple(f"{group}/s3-" for group in dict.fromkeys((GROUP, KSERVE_GROUP)))
"""Prefixes of KServe's annotations with the settings of S3; the first one has precedence."""


@dataclass(frozen=True)
class Account:
    """The ServiceAccount of the host's pods, with its settings for stores: names of secrets, never their content."""

    name: str
    secrets: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Annotations about S3; those of its secrets override its own."""
    problems: tuple[str, ...] = ()
    """Sentences about secrets with annotations that could not be read."""


@dataclass(frozen=True)
class ClaimRefusal:
    """Reason why a claim that exists is not mounted, as a sentence."""

    sentence: str
    keeps_mounts: bool = False
    """A claim that is mounted already stays mounted for the models that are placed."""


@dataclass(frozen=True)
class CacheVersion:
    """Version of the cache of one kind, in resourceVersions."""

    observed_version: int = 0
    """The cache holds every change up to this resourceVersion."""
    newest_version: int = 0
    """ResourceVersion of the latest change in the cache."""


@dataclass(frozen=True)
class CacheVersions:
    """Versions of the caches that a snapshot was taken from."""

    hosts: CacheVersion = CacheVersion()
    models: CacheVersion = CacheVersion()


@dataclass(frozen=True)
class UnmanagedHost:
    """An unmanaged InferenceService, and the reason."""

    uid: str
    why: Unmanaged


@dataclass(frozen=True)
class Child:
    """Kind and name of a child object. The kinds of children are unique, so no API group is needed."""

    kind: str
    name: str


@dataclass(frozen=True)
class Departure:
    """A host that placed models and is gone."""

    since: float
    """Time at which this process first saw the departure, in seconds of a monotonic clock."""
    decided: bool = False
    """The grace period is over and the API server has confirmed that the host is gone: its models are deleted."""
    last_burst: float | None = None
    """Time of the last deletion of models of the host, by the same clock."""
    left: float = 0.0
    """Seconds until models of the host may be deleted: the rest of the grace period, or the time to the next burst."""
    kept: bool = False
    """The models stay: the host was deleted with `--cascade=orphan`, or its CRD was deleted."""


@dataclass(frozen=True)
class Observed:
    """One host with its models, children and pods, and the reports of their agents."""

    key: Key
    config: ServingConfig
    host: InferenceService | None = None
    same_hostname: tuple[InferenceService, ...] = ()
    """Other managed hosts, of any namespace, with the same host name."""
    unmanaged: UnmanagedHost | None = None
    """The InferenceService of this name, when it is unmanaged; `host` is None then."""
    operator: str = ""
    """The operator that makes the plan, for the host's status; empty: the status keeps its mark."""
    announced: bool = False
    """The Warning event that the InferenceService became unmanaged was sent."""
    departures: Mapping[str, Departure] = field(default_factory=dict)
    """Hosts of this name that placed models and are gone, by uid."""
    models: tuple[TrainedModel, ...] = ()
    cache_versions: CacheVersions = CacheVersions()
    unparsable: frozenset[str] = frozenset()
    """Names of models that do not parse or are unmanaged. Their entries stay as they are, while they fit."""
    scaling: Scaling = Scaling()
    children: Mapping[Child, Manifest] = field(default_factory=dict)
    pods: tuple[Manifest, ...] = ()
    agents: Mapping[str, AgentReport] = field(default_factory=dict)
    """Reports by the uid of their pod. A pod with an unreachable agent has none."""
    router_pods: tuple[Manifest, ...] = ()
    """Pods of the routers of a heterogeneous host."""
    router_reports: Mapping[str, RouterReport] = field(default_factory=dict)
    """Reports of routers, likewise."""

    failures: Mapping[Child, str] = field(default_factory=dict)
    """Error of the API server, for each child with a refused last write."""
    autoscalers: tuple[str, ...] = ()
    """Other HorizontalPodAutoscalers that target the host's Deployment, sorted."""
    foreign: frozenset[Child] = frozenset()
    """Children that another controller made for this host, and that still route requests to its pods."""

    account: Account | None = None
    """None when the ServiceAccount does not exist."""
    claims: Mapping[str, str | None] = field(default_factory=dict)
    """Claims in the URIs of models: None for one that exists, else the sentence about the missing one."""
    refused_claims: Mapping[str, ClaimRefusal] = field(default_factory=dict)
    """Claims that exist and are not mounted for new models."""
    unverified_claims: frozenset[str] = frozenset()
    """Claims that may exist, since the operator is not allowed to get them. A mounted one stays mounted."""
    rollouts: Rollouts = field(default_factory=Rollouts)
    """The roll-outs of all hosts by the operator's own version or configuration."""
    lookups_pending: bool = False
    """The lookup of an object that the pods depend on is pending: the Deployment stays as it is."""

    @property
    def decided_replicas(self) -> int | None:
        """Replicas of a homogeneous host by the traffic of its models; None without a decision."""
        decision = self.scaling.decisions.get(ALL_MODELS)
        is_of_host = self.host is not None and self.scaling.host == self.host.metadata.uid
        return decision.copies if decision is not None and is_of_host else None

    @cached_property
    def host_problems(self) -> tuple[FieldError, ...]:
        """Errors of the host's spec. While there are any, its children stay as they are."""
        return tuple(host_problems(self.host)) if self.host else ()

    @cached_property
    def replicas(self) -> tuple[Replica, ...]:
        """The pods with the reports of their agents."""
        return replicas_of(self.pods, self.agents)

    @cached_property
    def routers(self) -> tuple[Router, ...]:
        """The routers with their reports."""
        return routers_of(self.router_pods, self.router_reports)

    @cached_property
    def led_by_all(self) -> frozenset[str]:
        """Models that each ready router leads; none on a homogeneous host."""
        return led_by_all(self.routers)

    def child(self, kind: str, name: str) -> Manifest | None:
        """Return the child, or None if it does not exist."""
        return self.children.get(Child(kind, name))
