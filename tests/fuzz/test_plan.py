"""Properties of plans of any snapshot: writable, within the memory limit, settling, and independent of order."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import modelconfig, names
from manyserve.api.quantity import parse_memory
from manyserve.plan.actions import Plan
from manyserve.plan.memory import memory_limit
from manyserve.plan.model_config import text_of
from manyserve.plan.observed import Manifest, Observed
from manyserve.plan.plan import plan
from tests.fuzz import snapshots, tampering
from tests.fuzz.profile import tried
from tests.support import make, world

SNAPSHOTS = snapshots.fresh() | tampering.tampered()


@given(SNAPSHOTS)
@tried(70)
def test_plan_of_any_snapshot_is_writable(seen: Observed) -> None:
    todo = plan(seen, make.NOW)
    assert todo.requeue_after is None or 0 < todo.requeue_after < 3600
    for content in writes(todo):
        json.dumps(content)
    for status in todo.statuses:
        assert list(too_long(status.patch)) == [], "the API server would refuse the status"


@given(SNAPSHOTS)
@tried(70)
def test_plan_of_any_snapshot_keeps_the_memory_limit(seen: Observed) -> None:
    todo = plan(seen, make.NOW)
    if seen.host is None or not todo.configs:
        return
    placed = modelconfig.parse(text_of(todo.configs[0].manifest) or "")
    if seen.host_problems:
        assert {each.model_name for each in placed} <= ConfigOf(seen).names, "its pods run by an earlier spec"
        return
    assert sum(size(each.model_spec.memory) for each in placed) <= memory_limit(seen.host)
    assert {each.model_name for each in placed} <= {each.metadata.name for each in seen.models} | seen.unparsable


@given(SNAPSHOTS)
@tried(60)
def test_plan_of_any_settled_snapshot_is_empty(seen: Observed) -> None:
    settled = world.settle(seen)
    assert plan(settled, make.NOW).empty


@given(SNAPSHOTS, st.randoms(use_true_random=False))
@tried(50)
def test_plan_is_independent_of_the_order_of_objects(seen: Observed, random: Any) -> None:
    models, pods, children = list(seen.models), list(seen.pods), list(seen.children.items())
    for items in (models, pods, children):
        random.shuffle(items)
    other = replace(seen, models=tuple(models), pods=tuple(pods), children=dict(children))
    assert in_order(plan(other, make.NOW)) == in_order(plan(seen, make.NOW))


@given(snapshots.fresh(), snapshots.models())
@tried(50)
def test_plan_keeps_placed_models_beside_new_ones(seen: Observed, others: Any) -> None:
    settled = world.settle(seen)
    if settled.host is None or settled.host.metadata.deletion_timestamp or ConfigOf(settled).manifest is None:
        return
    before = ConfigOf(settled).names
    known = snapshots.named(settled.models) | settled.unparsable
    new = [each for each in others if each.metadata.name not in known]
    after = world.settle(replace(settled, models=(*settled.models, *new)))
    assert before <= ConfigOf(after).names


class ConfigOf:
    """`models.json` of a snapshot."""

    def __init__(self, seen: Observed) -> None:
        self.manifest: Manifest | None = seen.child("ConfigMap", names.model_config(seen.key.name))

    @property
    def names(self) -> set[str]:
        """Names of its models."""
        text = text_of(self.manifest) if self.manifest else None
        return {each.model_name for each in modelconfig.parse(text or "[]")}


def size(memory: str | int) -> int:
    """Return the bytes of an entry, or 0 for an unreadable memory."""
    try:
        return parse_memory(memory)
    except ValueError:
        return 0


def writes(todo: Plan) -> Iterator[Any]:
    """Yield the content of every write."""
    yield from (each.manifest for each in todo.applies)
    yield from (each.patch for each in todo.statuses)
    yield from (each.owners for each in todo.owner_references)
    yield from (each.config_hash for each in todo.config_refreshes)
    yield from (each.manifest for each in todo.configs)


def in_order(todo: Plan) -> Plan:
    """Return the plan with sorted lists, since the order of writes is not guaranteed."""
    listed = ("applies", "deletes", "config_refreshes", "owner_references", "statuses", "events")
    parts: dict[str, Any] = {name: tuple(sorted(getattr(todo, name), key=repr)) for name in listed}
    return replace(todo, **parts)


def too_long(patch: Any) -> Iterator[str]:
    """Yield the fields of conditions and failures that exceed the bounds of the CRDs."""
    for part in [*(patch.get("conditions") or ()), patch.get("lastFailure") or {}]:
        yield from (name for name, most in (("reason", 128), ("message", 1024)) if len(part.get(name) or "") > most)
        yield from (name for name in ("attempt",) if not -(2**63) <= (part.get(name) or 0) < 2**63)
    numbers = [each for each in patch.values() if isinstance(each, float)]
    yield from (str(each) for each in numbers if not math.isfinite(each))
