"""Random histories of a heterogeneous host: users, scaling, drains, agents, routers, and operators that end anywhere.

The loads of shards are others in each plan.

A plan is written shard by shard, and the operator may end between any two writes. An agent loads late, its report may
be lost, and a copy is routed after it was loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from manyserve.api.modelconfig import Entry
from manyserve.api.quantity import parse_memory
from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.placement import Placement, Sizing, demands_of, place
from manyserve.plan.sharding.bounds import bounds_of
from manyserve.plan.sharding.drain import next_drain
from manyserve.plan.sharding.shard import Shard
from tests.support import make

CONFIG = make.config()


@dataclass
class Pod:
    """The pod of a shard: the entries in its `models.json`, the models in memory, and those that are routed."""

    entries: dict[str, Entry] = field(default_factory=dict)
    loaded: dict[str, str] = field(default_factory=dict)
    """Digest of each loaded version."""
    routed: set[str] = field(default_factory=set)
    reports: bool = True

    def observed(self, load: int) -> Shard:
        """Return the shard as the operator sees it, with a load in thousandths."""
        seen = (
            {name for name in self.routed if self.loaded.get(name) == self.entries[name].digest} if self.reports else ()
        )
        return Shard(dict(self.entries), frozenset(seen), load)


class History:
    """One history: `step` makes one change of each kind, at random."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.limit = self.random.choice((64, 1024))
        most = self.random.randint(1, 8)
        self.host = make.host(
            memory=str(self.limit),
            allocation="Heterogeneous",
            minReplicas=self.random.randint(1, most),
            maxReplicas=most,
        )
        self.models: dict[str, TrainedModel] = {}
        self.scaled: dict[str, int] = {}
        self.pods: dict[int, Pod] = {}
        self.draining: int | None = None
        self.count = 0
        self.moves = 0

    def step(self) -> None:
        """Let users, the operator and the agents act."""
        for _ in range(self.random.randint(0, 3)):
            self.user_acts()
        self.operator_acts()
        self.agents_act()

    def user_acts(self) -> None:
        """Create, delete, grow, shrink, change or scale a model."""
        act = self.random.random()
        if act < 0.5 or not self.models:
            self._create(f"m{self.count}", self.random.randint(1, self.limit // 2))
            self.count += 1
            return
        name = self.random.choice(sorted(self.models))
        if act < 0.65:
            del self.models[name]
        elif act < 0.8:
            self._create(name, self.random.randint(1, self.limit // 2), self.models[name].metadata.creation_timestamp)
        else:
            self.scaled[name] = self.random.choice((1, 1, 2, 3))

    def _create(self, name: str, memory: int, created: str = "") -> None:
        uri = f"gs://models/{name}/{self.random.randint(0, 1)}"
        raw = make.model_object(name, memory=memory, uri=uri, created=created or f"2026-01-01T{self.count:06d}")
        self.models[name] = TrainedModel.from_wire(raw | {"spec": raw["spec"] | {"maxReplicas": 3}})

    def plan(self, *, drains: bool) -> tuple[Placement, int | None]:
        """Return a placement from the reports, and the shard that it drains."""
        shards = {index: pod.observed(self.random.choice((0, 0, 500, 9000))) for index, pod in self.pods.items()}
        models = list(self.models.values())
        demands = demands_of(self.host, models, shards, self.scaled)
        drain = next_drain(demands, shards, bounds_of(self.host), {}, make.NOW) if drains else None
        draining = drain.shard if drain is not None else None
        placement = place(self.host, models, shards, CONFIG, sizing=Sizing(self.scaled, draining))
        return placement, draining

    def operator_acts(self) -> None:
        """Write a plan, as far as the operator comes."""
        placement, draining = self.plan(drains=self.random.random() < 0.3)
        writes = list(placement.shards.items())
        self.random.shuffle(writes)
        for index, entries in writes[: self.random.choice((len(writes), self.random.randint(0, len(writes))))]:
            self.write(index, entries)
        self.check()
        if draining is not None and not self.pods[draining].entries and not placement.shards[draining]:
            del self.pods[draining]

    def write(self, index: int, entries: dict[str, Entry] | object) -> None:
        """Write the `models.json` of a shard. Its agent unloads what left it, after the routers know."""
        assert isinstance(entries, dict)
        pod = self.pods.setdefault(index, Pod())
        for name in sorted(pod.entries.keys() - entries.keys()):
            self.may_leave(index, name)
            pod.loaded.pop(name, None)
            pod.routed.discard(name)
        pod.entries = dict(entries)

    def may_leave(self, index: int, name: str) -> None:
        """Fail if the last answering copy of a model leaves."""
        if name in self.models and name in self.pods[index].routed:
            others = [each for each in self.pods if each != index and name in self.pods[each].routed]
            assert others, f"{name} lost its last answering copy"
            self.moves += 1

    def check(self) -> None:
        """Fail if a `models.json` has more memory than a pod, or the host has too many shards."""
        for pod in self.pods.values():
            assert sum(parse_memory(entry.model_spec.memory) for entry in pod.entries.values()) <= self.limit
        assert len(self.pods) <= bounds_of(self.host).most

    def agents_act(self, *, all_load: bool = False) -> None:
        """Load some of the models, route some of those that were loaded before, and lose some reports."""
        for pod in self.pods.values():
            for name in pod.entries.keys() & pod.loaded.keys():
                if all_load or self.random.random() < 0.7:
                    pod.routed.add(name)
            for name, entry in pod.entries.items():
                if all_load or self.random.random() < 0.6:
                    pod.loaded[name] = entry.digest
            pod.reports = all_load or self.random.random() < 0.85

    def rest(self) -> Placement:
        """Let all agents load, and write plans until one changes nothing. Return it."""
        self.agents_act(all_load=True)
        self.agents_act(all_load=True)
        for _ in range(4 * len(self.models) + 8):
            placement, _ = self.plan(drains=False)
            if self.is_settled(placement):
                break
            for index, entries in placement.shards.items():
                self.write(index, entries)
            self.check()
            self.agents_act(all_load=True)
            self.agents_act(all_load=True)
        return placement

    def is_settled(self, placement: Placement) -> bool:
        """Return whether a plan changes nothing."""
        return {index: dict(each) for index, each in placement.shards.items()} == self.stored

    @property
    def stored(self) -> dict[int, dict[str, Entry]]:
        """Return the stored entries by shard."""
        return {index: pod.entries for index, pod in self.pods.items()}
