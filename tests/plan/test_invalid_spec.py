"""Plans for hosts and models with an invalid spec, which a webhook that was down did not refuse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manyserve.api import conditions, modelconfig, names
from manyserve.api.inferenceservice import InferenceService
from manyserve.plan.model_config import text_of
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from tests.plan.test_plan import ready, seen
from tests.support import make, world

pytestmark = pytest.mark.usefixtures("both_forms")
INVALID: dict[str, dict[str, Any]] = {
    "an argument": {"triton": {"args": ["--model-control-mode=poll"]}},
    "an unknown field": {"foo": 1},
    "a field that is not supported": {"batcher": {}},
    "a memory limit that cannot be read": {"triton": {"resources": {"limits": {"memory": "abc"}}}},
    "no replicas": {"minReplicas": 0},
    "two predictors": {"sklearn": {}},
}
SPECS = pytest.mark.parametrize("fields", INVALID.values(), ids=INVALID)


def host_ready(observed: Observed) -> tuple[str, str | None, str | None]:
    assert observed.host
    ready_condition = conditions.find(observed.host.status.conditions, conditions.READY)
    assert ready_condition
    return ready_condition.status, ready_condition.reason, ready_condition.message


def entries(observed: Observed) -> set[str]:
    config_map = observed.child("ConfigMap", names.model_config("triton-mms"))
    return {each.model_name for each in modelconfig.parse((config_map and text_of(config_map)) or "[]")}


def invalid(observed: Observed, fields: dict[str, Any]) -> Observed:
    """Return the snapshot after the host's spec became invalid; the host keeps its status."""
    assert observed.host
    raw = make.host_object(**fields) | {"status": observed.host.status.to_wire()}
    return replace(observed, host=InferenceService.from_wire(raw))


@SPECS
def test_invalid_new_host_gets_no_child_and_a_warning(fields: dict[str, Any]) -> None:
    start = seen(make.model("a"), host=make.host(**fields))
    todo = plan(start, make.NOW)
    assert (todo.applies, todo.deletes, todo.configs) == ((), (), ())
    (event,) = [each for each in todo.events if each.kind == "InferenceService"]
    assert (event.type, event.reason) == ("Warning", "InvalidSpec")
    after = world.settle(start)
    assert after.children == {}
    status, reason, message = host_ready(after)
    assert (status, reason) == ("False", "InvalidSpec")
    assert message
    assert message.startswith("spec.predictor")
    assert ready(after.models[0])[0] == "False"
    assert plan(after, make.NOW).empty


@SPECS
def test_invalid_host_keeps_children_and_ready_models(
    fields: dict[str, Any],
) -> None:
    settled = world.settle(seen(make.model("a"), make.model("b"), host=make.host(minReplicas=2, maxReplicas=3)))
    (event,) = plan(invalid(settled, fields), make.NOW).events
    assert (event.kind, event.type, event.reason) == ("InferenceService", "Warning", "InvalidSpec")
    after = world.settle(invalid(settled, fields))
    assert after.children == settled.children
    assert host_ready(after)[:2] == ("True", "InvalidSpec")
    assert [ready(each)[0] for each in after.models] == ["True", "True"]
    corrected = world.settle(replace(after, host=settled.host))
    assert host_ready(corrected)[:2] == ("True", None)


@SPECS
def test_invalid_host_places_no_new_model_and_drops_deleted_one(fields: dict[str, Any]) -> None:
    settled = invalid(world.settle(seen(make.model("a", memory="1Mi"), make.model("b", memory="1Mi"))), fields)
    more = replace(settled, models=(settled.models[0], make.model("c", memory="1Mi")))
    after = world.settle(more)
    assert entries(after) == {"a"}
    loaded = conditions.find(after.models[1].status.conditions, conditions.LOADED)
    assert loaded
    assert loaded.reason == "InferenceServiceNotReady"
    assert loaded.message
    assert loaded.message.startswith("not placed on triton-mms: the spec of triton-mms is invalid: spec.predictor")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"memory": "abc"}, "spec.model.memory: 'abc' is not a quantity"),
        ({"framework": "Py Torch"}, "spec.model.framework: 'Py Torch' is not a framework"),
        ({"uri": "bucket"}, "spec.model.storageUri: 'bucket' has no scheme"),
        ({"uri": ""}, "spec.model.storageUri: '' has no scheme"),
        ({"storageURI": "gs://b/m"}, "spec.model.storageURI: is not a field that manyserve knows"),
        ({"digest": "x"}, "spec.model.digest: 'x' is not a digest"),
    ],
)
def test_invalid_model_is_not_placed_and_reports_the_error(fields: dict[str, Any], sentence: str) -> None:
    after = world.settle(seen(make.model("a", **fields), make.model("b")))
    assert entries(after) == {"b"}
    status, reason, message = ready(after.models[0])
    assert (status, reason) == ("False", "InvalidSpec")
    assert message
    assert message.startswith(f"not placed on triton-mms: {sentence}")
    assert ready(after.models[1])[0] == "True"


def test_invalid_model_without_a_host_reports_invalid_spec() -> None:
    after = world.settle(seen(make.model("a", memory="abc"), host=None))
    assert ready(after.models[0])[:2] == ("False", "InvalidSpec")


def test_placed_model_with_new_unknown_field_stays_and_reports_it() -> None:
    settled = world.settle(seen(make.model("a")))
    given = settled.models[0].model_copy(update={"unknown_fields": ("spec.foo",)})
    after = world.settle(replace(settled, models=(given,)))
    assert entries(after) == {"a"}
    status, reason, message = ready(after.models[0])
    assert (status, reason) == ("True", "InvalidSpec")
    assert message
    assert message.startswith("spec.foo: is not a field")


@pytest.mark.parametrize("change", [{"uri": "gs://bucket"}, {"memory": "abc"}, {"framework": "Py Torch"}])
def test_placed_model_that_becomes_invalid_keeps_its_entry(
    change: dict[str, str],
) -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))
    after = world.settle(replace(settled, models=(make.model("a", **change), settled.models[1])))
    assert entries(after) == {"a", "b"}
    status, reason, message = ready(after.models[0])
    assert (status, reason) == ("False", "InvalidSpec")
    assert message
    assert message.endswith("; the previous version still answers")


def test_invalid_model_that_is_deleted_is_removed_from_the_host() -> None:
    settled = world.settle(seen(make.model("a"), make.model("b")))
    changed = make.model("a", uri="gs://bucket")
    leaving = changed.model_copy(
        update={"metadata": changed.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})}
    )
    assert entries(world.settle(replace(settled, models=(leaving, settled.models[1])))) == {"b"}
