"""Departures: deletion of the models of a deleted host after the grace period, and the exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import conditions, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import PlacedBy, TrainedModel
from manyserve.plan import management
from manyserve.plan.actions import Depart, ModelVersion, Plan, Priority
from manyserve.plan.departure import BURST_PERIOD, DELETIONS_PER_PLAN, GRACE_PERIOD, follow, host_uid
from manyserve.plan.observed import Child, Departure, Observed, UnmanagedHost
from manyserve.plan.plan import plan
from tests.plan.test_plan import KEY, ready, seen
from tests.support import make, world

OLD = "uid-old"


def placed(name: str = "cifar10", uid: str = OLD, host: str = KEY.name) -> TrainedModel:
    """Return a model with `placedBy`."""
    model = make.model(name)
    by = PlacedBy(name=host, uid=uid)
    status = model.status.model_copy(update={"placed_by": by, "observed_uid": model.metadata.uid})
    return model.model_copy(update={"status": status})


def gone(*models: TrainedModel, left: float = 0.0, decided: bool = False, **fields: object) -> Observed:
    """Return a snapshot in which the host that placed the models is gone."""
    departure = Departure(0.0, left=left, decided=decided)
    return seen(*models, **{"host": None, "pods": (), "departures": {OLD: departure}} | fields)


def deleted(todo: Plan) -> list[str]:
    return [model.name for each in todo.departures for model in each.models]


def test_placed_by_names_the_host_and_is_unset_for_a_waiting_model() -> None:
    models = world.settle(seen(*(make.model(name, created=f"2026-01-0{name}T00:00:00Z") for name in "123"))).models
    assert [each.status.placed_by for each in models] == [
        *[PlacedBy(name=KEY.name, uid="uid-triton-mms")] * 2,
        None,
    ]


def test_placed_by_stays_while_the_host_cannot_place_the_model_and_goes_on_another_host() -> None:
    off = seen(placed(uid="uid-triton-mms"), config=make.config(multi_model=False))
    assert world.settle(off).models[0].status.placed_by == PlacedBy(name=KEY.name, uid="uid-triton-mms")
    assert world.settle(replace(off, models=(placed(),))).models[0].status.placed_by is None


def test_placed_by_is_removed_from_a_model_that_names_another_host() -> None:
    moved = placed(host="before")
    assert host_uid(moved) is None
    todo = plan(seen(moved, host=None, pods=()), make.NOW)
    assert todo.statuses[0].patch["placedBy"] is None


def test_placed_by_of_a_restored_status_is_ignored() -> None:
    restored = placed()
    restored = restored.model_copy(
        update={"status": restored.status.model_copy(update={"observed_uid": "uid-before-the-restore"})}
    )
    assert host_uid(restored) is None
    todo = plan(gone(restored), make.NOW)
    assert not deleted(todo)
    assert todo.statuses[0].patch["placedBy"] is None


def test_departure_writes_no_status_of_placed_models_within_the_grace_period() -> None:
    todo = plan(gone(placed(), make.model("early"), left=3.0), make.NOW)
    assert [each.name for each in todo.statuses] == ["early"]
    assert todo.departures == (Depart(OLD),), "whether the CRD is served is asked when the departure is first seen"
    assert todo.requeue_after == 3.0


def test_departure_deletes_the_seen_version_after_the_grace_period() -> None:
    todo = plan(gone(placed(), make.model("early")), make.NOW)
    assert todo.departures == (Depart(OLD, (ModelVersion("cifar10", "uid-cifar10", "1"),)),)
    assert [each.name for each in todo.statuses] == ["early"]
    assert [each.name for each in todo.events] == ["early"]


def test_departure_deletes_oldest_models_first_up_to_the_limit_per_plan() -> None:
    names_ = [f"m-{number:03d}" for number in range(DELETIONS_PER_PLAN + 5)]
    todo = plan(gone(*map(placed, reversed(names_))), make.NOW)
    assert deleted(todo) == names_[:DELETIONS_PER_PLAN]
    assert todo.departures[0].left == 5
    assert sorted(each.name for each in todo.statuses) == names_[DELETIONS_PER_PLAN:]
    assert not todo.events
    assert todo.requeue_after == BURST_PERIOD
    between = plan(gone(*map(placed, names_), left=0.4, decided=True), make.NOW)
    assert (deleted(between), between.requeue_after) == ([], 0.4)


def test_departure_writes_statuses_of_models_of_later_plans_last() -> None:
    names_ = [f"m-{number:03d}" for number in range(DELETIONS_PER_PLAN + 2)]
    todo = plan(gone(*map(placed, names_)), make.NOW)
    assert [(each.name, each.priority) for each in todo.statuses] == [
        (name, Priority.TRANSIENT) for name in names_[DELETIONS_PER_PLAN:]
    ]


def test_departures_of_two_hosts_of_the_same_name_share_the_limit() -> None:
    models = [placed(f"{uid}-{number:03d}", uid) for uid in (OLD, "uid-b") for number in range(DELETIONS_PER_PLAN - 10)]
    both = {uid: Departure(0.0) for uid in (OLD, "uid-b")}
    assert len(deleted(plan(gone(*models, departures=both), make.NOW))) == DELETIONS_PER_PLAN


def test_departure_skips_a_model_that_is_being_deleted() -> None:
    model = placed()
    leaving = model.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    assert not deleted(plan(gone(model.model_copy(update={"metadata": leaving})), make.NOW))


def test_decided_departure_continues_beside_a_new_host_that_does_not_place_its_models() -> None:
    todo = plan(gone(placed("old"), make.model("new"), decided=True, host=make.host()), make.NOW)
    assert deleted(todo) == ["old"]
    assert todo.departures[0].decided
    assert todo.configs
    assert "new" in str(todo.configs[0].manifest["data"])
    assert "old" not in str(todo.configs[0].manifest["data"])


def test_departure_of_an_orphaned_host_keeps_models_without_placed_by() -> None:
    orphan = {"kind": "Service", "metadata": {"name": KEY.name, "labels": names.labels(KEY.name)}}
    children = {Child("Service", KEY.name): orphan}
    for kept in (
        gone(placed(), children=children),
        gone(placed(), departures={OLD: Departure(0.0, kept=True)}),
        gone(placed(), departures={OLD: Departure(0.0, kept=True, decided=True)}),
    ):
        todo = plan(kept, make.NOW)
        assert not todo.departures
        after = world.carry_out(kept, todo).models[0]
        assert after.status.placed_by is None
        assert ready(after)[1:] == (
            "InferenceServiceNotFound",
            "waiting for InferenceService triton-mms, which does not exist in namespace default",
        )


def test_departure_with_an_owned_child_is_not_orphaned() -> None:
    child = {"kind": "Service", "metadata": {"name": KEY.name, "ownerReferences": [{"uid": OLD}]}}
    assert deleted(plan(gone(placed(), children={Child("Service", KEY.name): child}), make.NOW)) == ["cifar10"]


def test_departure_does_not_begin_while_the_host_is_being_deleted() -> None:
    host = make.host_object()
    host["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "uid": OLD}
    leaving = seen(placed(), host=InferenceService.from_wire(host))
    todo = plan(leaving, make.NOW)
    assert not todo.departures
    after = world.carry_out(leaving, todo).models[0]
    assert after.status.placed_by == PlacedBy(name=KEY.name, uid=OLD)
    assert conditions.find(after.status.conditions, conditions.READY)


def test_departure_of_an_unmanaged_host_keeps_models_without_placed_by() -> None:
    why = management.Unmanaged("Finalizer", "metadata.finalizers", "it has a finalizer of KServe")
    snapshot = gone(placed(), decided=True, unmanaged=UnmanagedHost(OLD, why))
    todo = plan(snapshot, make.NOW)
    assert not deleted(todo)
    assert world.carry_out(snapshot, todo).models[0].status.placed_by is None


def test_departure_does_not_begin_when_a_new_host_is_seen_first() -> None:
    assert follow({}, [OLD], "uid-new", 100.0) == {}


def test_departure_ends_with_a_new_host_unless_it_is_decided() -> None:
    first = follow({}, [OLD], None, 0.0)
    assert first[OLD].left == GRACE_PERIOD
    assert follow(first, [OLD], "uid-new", 4.9) == {}
    decided = {OLD: replace(first[OLD], decided=True)}
    assert follow(decided, [OLD], "uid-new", 6.0)[OLD].decided
    assert follow(decided, [OLD], OLD, 6.0) == {}, "the host itself is there: it was never gone"
    assert follow(decided, [], None, 6.0) == {}


@dataclass
class History:
    """State of a host name with one model, for the operator and for the API server."""

    now: float = 0.0
    count: int = 0
    host: str | None = None
    by: str | None = None
    """Uid of the host that placed the model."""
    absent_since: dict[str, float] = field(default_factory=dict)
    """Time since which no host has the name, by the uid of a host that had it."""
    orphaned: set[str] = field(default_factory=set)
    records: dict[str, Departure] = field(default_factory=dict)
    deleted: bool = False

    def reconcile(self) -> None:
        """Compute one plan, and apply it."""
        self.records = follow(self.records, [self.by] if self.by else [], self.host, self.now)
        records = {uid: replace(each, kept=each.kept or uid in self.orphaned) for uid, each in self.records.items()}
        model = placed(uid=self.by) if self.by else make.model()
        host = make.host().model_copy(
            update={"metadata": make.host().metadata.model_copy(update={"uid": self.host or ""})}
        )
        todo = plan(seen(model, host=host if self.host else None, departures=records), make.NOW)
        for departure in todo.departures:
            if departure.models and (self.host is None or records[departure.uid].decided):
                self._delete(departure.uid)
        for status in todo.statuses:
            if status.kind == "TrainedModel" and "placedBy" in status.patch:
                by = status.patch["placedBy"]
                self.by = by.get("uid", self.by) if by else None

    def _delete(self, uid: str) -> None:
        assert uid == self.by
        assert uid not in self.orphaned, "its host was orphaned"
        assert self.now - self.absent_since[uid] >= GRACE_PERIOD, "a host had the name less than 5 s ago"
        self.deleted = True

    def create(self) -> None:
        """Create a host of the name, if there is none."""
        if self.host is None:
            self.count += 1
            self.host = f"uid-{self.count}"
            self.absent_since = dict.fromkeys(self.absent_since, float("inf"))
            self.records = follow(self.records, self.records.keys(), self.host, self.now)

    def delete(self, *, orphan: bool) -> None:
        """Delete the host."""
        if self.host is not None:
            self.absent_since[self.host] = self.now
            self.absent_since = dict.fromkeys(self.absent_since, self.now)
            self.orphaned |= {self.host} if orphan else set()
            self.host = None

    def restart(self) -> None:
        """Restart the operator, which loses its records. The children of an orphaned host still show that."""
        self.records = {}


STEPS = st.sampled_from(
    ["reconcile", "reconcile", "create", "delete", "orphan", "restart", "a moment", "a moment", "a grace period"]
)


@given(st.lists(STEPS, max_size=40))
def test_departure_deletes_only_after_the_grace_period_and_never_after_an_orphaning(steps: list[str]) -> None:
    history = History()
    for step in steps:
        if step in ("a moment", "a grace period"):
            history.now += 1.3 if step == "a moment" else GRACE_PERIOD
        elif step in ("delete", "orphan"):
            history.delete(orphan=step == "orphan")
        else:
            getattr(history, step)()
        if history.deleted:
            break  # passes when nothing is raised: `History._delete` asserts the rule


def test_departure_history_of_a_deleted_host_ends_with_the_deletion() -> None:
    history = History()
    history.create()
    history.reconcile()
    history.delete(orphan=False)
    history.reconcile()
    history.now += GRACE_PERIOD
    history.reconcile()
    assert history.deleted
