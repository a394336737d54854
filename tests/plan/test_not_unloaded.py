"""A removed model that a server does not unload: the host names it, and no new model is placed until it is gone."""

from __future__ import annotations

from dataclasses import replace

from manyserve.api import conditions
from manyserve.api.agentreport import AgentReport, read
from manyserve.plan.observed import Observed
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from tests.plan.test_plan import ready, seen
from tests.support import make, world
from tests.support.placed import place_on_one

CONFIG = make.config()
OLD, NEW = make.model("old", memory="1Mi"), make.model("new", memory="1Mi")
WAITS = "triton-mms takes no new model, and gives no model more memory, until its model server has unloaded gone"


def reporting(observed: Observed, **not_unloaded: str) -> Observed:
    """Return the snapshot in which the agents report these models."""
    agents = {uid: each.model_copy(update={"not_unloaded": not_unloaded}) for uid, each in observed.agents.items()}
    assert agents
    return replace(observed, agents=agents)


def test_placement_takes_no_new_model_until_removed_one_is_unloaded() -> None:
    placement = place_on_one(make.host(), [OLD, NEW], [entry_of(OLD)], CONFIG, not_unloaded={"gone"})
    assert set(placement.placed) == {"old"}
    assert placement.waiting_for_unload == {"new": WAITS}
    assert set(place_on_one(make.host(), [OLD, NEW], [entry_of(OLD)], CONFIG).placed) == {"old", "new"}


def test_placement_updates_placed_model_while_removed_one_is_not_unloaded() -> None:
    changed = make.model("old", memory="1Mi", uri="gs://models/other")
    placement = place_on_one(make.host(), [changed], [entry_of(OLD)], CONFIG, not_unloaded={"gone"})
    assert placement.placed["old"].model_spec.storage_uri == "gs://models/other"


def test_placed_model_that_grew_keeps_its_entry_until_removed_one_is_unloaded() -> None:
    grown, shrunk = make.model("old", memory="2Mi"), make.model("old", memory="1Ki")
    placement = place_on_one(make.host(), [grown], [entry_of(OLD)], CONFIG, not_unloaded={"gone"})
    assert placement.placed == {"old": entry_of(OLD)}
    assert placement.insufficient_memory == {"old": WAITS}
    for model, not_unloaded in ((shrunk, {"gone"}), (grown, set[str]())):
        placement = place_on_one(make.host(), [model], [entry_of(OLD)], CONFIG, not_unloaded=not_unloaded)
        assert placement.placed == {"old": entry_of(model)}
        assert placement.insufficient_memory == {}


def test_placement_takes_the_removed_model_back() -> None:
    gone = make.model("gone", memory="1Mi")
    placement = place_on_one(make.host(), [gone, NEW], (), CONFIG, not_unloaded={"gone"})
    assert set(placement.placed) == {"gone"}
    assert set(placement.waiting_for_unload) == {"new"}


def test_placement_names_three_removed_models_at_most() -> None:
    placement = place_on_one(make.host(), [NEW], (), CONFIG, not_unloaded=["d", "b", "a", "c", "e"])
    assert placement.waiting_for_unload["new"].endswith("has unloaded a, b, c and 2 more")


def test_host_names_removed_model_until_it_is_unloaded() -> None:
    settled = world.settle(seen(OLD))
    stuck = reporting(replace(settled, models=(*settled.models, NEW)), gone="it is in use")
    after = world.carry_out(stuck, plan(stuck, make.NOW))
    assert after.host
    for kind in (conditions.PREDICTOR_READY, conditions.READY):
        condition = conditions.find(after.host.status.conditions, kind)
        assert condition
        assert condition.status == "True"
        assert condition.message
        assert condition.message.startswith("the model server does not unload gone, and no new model is placed")
        assert condition.message.endswith(": it is in use")
    assert world.placed(after) == {"old"}
    waiting = next(model for model in after.models if model.metadata.name == "new")
    assert ready(waiting) == ("False", "ModelNotUnloaded", WAITS)
    assert world.placed(world.settle(reporting(after))) == {"old", "new"}


def test_host_with_removed_model_that_is_not_unloaded_makes_one_event() -> None:
    stuck = reporting(world.settle(seen(OLD)), gone="it is in use")
    (event,) = plan(stuck, make.NOW).events
    assert (event.kind, event.type, event.reason) == ("InferenceService", "Warning", "ModelNotUnloaded")
    assert event.message.endswith(": it is in use")
    assert plan(world.carry_out(stuck, plan(stuck, make.NOW)), make.NOW).events == ()


def test_report_of_earlier_agent_names_no_removed_model() -> None:
    report = read(b'{"instance": "a", "revision": 1, "models": {}}')
    assert report.not_unloaded == {}
    named = AgentReport(instance="a", revision=1, not_unloaded={"gone": "it is in use"})
    assert named.to_wire()["notUnloaded"] == {"gone": "it is in use"}
