"""The frozen picture of one host: everything that a plan may know.

`cluster.observe` fills it from synced caches, never from a partial one. Children and pods are raw objects
as the API server gives them; hosts, models and agents' reports are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from manyserve.api.agentreport import AgentReport
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import GROUP, KSERVE_GROUP, Key
from manyserve.api.servingconfig import ServingConfig
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.management import Unmanaged
from manyserve.plan.rules.field_error import FieldError
from manyserve.plan.rules.validation import host_problems

Manifest = dict[str, Any]


S3_PREFIXES = tuple(f"{group}/s3-" for group in dict.fromkeys((GROUP, KSERVE_GROUP)))
"""Prefixes of the annotations that say, as in KServe, where S3 is; the first one has precedence."""


@dataclass(frozen=True)
class Account:
    """The ServiceAccount of the host's pods, as far as stores go: secrets by name, never what is in them."""

    name: str
    secrets: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those about S3, its secrets' laid over its own."""
    problems: tuple[str, ...] = ()
    """Why annotations of its secrets could not be looked at."""


@dataclass(frozen=True)
class CacheVersion:
    """How far what is known of a kind reaches, in resourceVersions."""

    observed_version: int = 0
    """Every change up to this one is in it."""
    newest_version: int = 0
    """The latest change that is in it."""


@dataclass(frozen=True)
class CacheVersions:
    """How far a picture reaches."""

    hosts: CacheVersion = CacheVersion()
    models: CacheVersion = CacheVersion()


@dataclass(frozen=True)
class UnmanagedHost:
    """An InferenceService that is left alone, and why."""

    uid: str
    why: Unmanaged


@dataclass(frozen=True)
class Child:
    """Which object of ours: kinds are unique among the kinds that we make."""

    kind: str
    name: str


@dataclass(frozen=True)
class Departure:
    """A host that placed models and is gone."""

    since: float
    """When this process first saw it, in seconds of a clock that only goes forward."""
    decided: bool = False
    """The grace period is over and the API server has answered that there is no such host: its models are deleted."""
    last_burst: float | None = None
    """When models of it were last deleted, by the same clock."""
    left: float = 0.0
    """Seconds until models of it may be deleted: of the grace period, or until the next burst."""
    kept: bool = False
    """Its models stay: it was deleted with `--cascade=orphan`, or its CRD went."""


@dataclass(frozen=True)
class Observed:
    """One host, its models, its children, its pods, and what their agents say."""

    key: Key
    config: ServingConfig
    host: InferenceService | None = None
    unmanaged: UnmanagedHost | None = None
    """The InferenceService of this name, when it is one that is left alone; `service` is None then."""
    announced: bool = False
    """The Warning event that it became unmanaged was sent."""
    departures: Mapping[str, Departure] = field(default_factory=dict)
    """Hosts of this name that placed models and are gone, by uid."""
    models: tuple[TrainedModel, ...] = ()
    cache_versions: CacheVersions = CacheVersions()
    unparsable: frozenset[str] = frozenset()
    """Names of models that do not parse or are unmanaged: what is placed of them stays as it is, while it fits."""
    children: Mapping[Child, Manifest] = field(default_factory=dict)
    pods: tuple[Manifest, ...] = ()
    agents: Mapping[str, AgentReport] = field(default_factory=dict)
    """Reports by the uid of their pod; a pod whose agent cannot be reached has none."""

    failures: Mapping[Child, str] = field(default_factory=dict)
    """What the API server said when a child was last written and refused, by child."""
    foreign: frozenset[Child] = frozenset()
    """Children that another controller made for this host, and that lead requests to its pods still."""

    account: Account | None = None
    """None when the ServiceAccount does not exist."""
    claims: Mapping[str, str | None] = field(default_factory=dict)
    """The claims that models name: None when one exists, else why not in a sentence."""
    unverified_claims: frozenset[str] = frozenset()
    """Those of them that may exist all the same, since nobody may look: what is mounted of them stays."""
    lookups_pending: bool = False
    """Something that the pods depend on has not been looked at yet: the Deployment stays as it is."""

    @cached_property
    def host_problems(self) -> tuple[FieldError, ...]:
        """What is wrong with the host's spec: while there is any, its children stay as they are."""
        return tuple(host_problems(self.host)) if self.host else ()

    def child(self, kind: str, name: str) -> Manifest | None:
        """Return the child, if it is there."""
        return self.children.get(Child(kind, name))
