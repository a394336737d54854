"""Content rules: they hold for new models, and a model that breaks one while it is served has a warning."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from manyserve.api import conditions
from manyserve.api.agentreport import ModelState
from manyserve.api.modelconfig import CONTENT_RULES, Entry
from manyserve.api.servingconfig import ConfigError, parse
from manyserve.plan.children.pod_template import build_agent
from manyserve.plan.children.server_container import launch_spec
from manyserve.plan.placement import entry_of
from manyserve.plan.plan import plan
from manyserve.plan.storage.mounts import Sources
from tests.plan.servers.launched import config, env, host
from tests.plan.test_plan import seen
from tests.support import make, world
from tests.support.placed import place_on_one

CONFIG = make.config()
WARNING = "its files have 2Gi (2147483648 bytes), more than the declared memory of 1 (spec.model.memory)"


def rules(*current: Entry, **model: str) -> int | None:
    """Return the content rules of the model `a` after a placement."""
    placed = place_on_one(make.host(), [make.model("a", **model)], current, CONFIG).placed
    return placed["a"].model_spec.content_rules


def test_placement_puts_new_models_under_the_rules() -> None:
    assert rules() == CONTENT_RULES


@pytest.mark.parametrize("before", [None, CONTENT_RULES])
def test_placement_keeps_the_rules_of_the_same_files(before: int | None) -> None:
    held = entry_of(make.model("a"), before)
    assert rules(held) == before
    assert rules(held, memory="1Mi") == before, "a lower memory takes no served model away"
    assert rules(held, refreshInterval="10m") == before


def test_placement_puts_other_files_under_the_rules() -> None:
    held = entry_of(make.model("a"), None)
    assert rules(held, uri="gs://models/other") == CONTENT_RULES
    assert rules(held, framework="tensorflow") == CONTENT_RULES
    assert rules(held, digest="sha256:" + "0" * 64) == CONTENT_RULES


def test_entry_has_the_rules_on_the_wire_only_if_there_are_any() -> None:
    assert entry_of(make.model("a")).to_wire()["modelSpec"]["contentRules"] == CONTENT_RULES
    assert "contentRules" not in entry_of(make.model("a"), None).to_wire()["modelSpec"]


def test_loaded_model_that_breaks_a_rule_is_ready_with_a_warning_event() -> None:
    settled = world.settle(seen(make.model("a", memory="1Mi")))
    entry = entry_of(settled.models[0])
    agents = {
        uid: report.model_copy(
            update={"models": {"a": replace(make.report(entry).models["a"], state=ModelState.LOADED, warning=WARNING)}}
        )
        for uid, report in settled.agents.items()
    }
    warned = plan(replace(settled, agents=agents), make.NOW)
    after = world.carry_out(replace(settled, agents=agents), warned)
    ready = conditions.find(after.models[0].status.conditions, conditions.READY)
    assert ready
    assert (ready.status, ready.reason) == ("True", "ContentRefused")
    assert ready.message
    assert ready.message.endswith(f": {WARNING}")
    assert [(event.type, event.reason) for event in warned.events] == [("Warning", "ContentRefused")]


def test_agent_of_triton_gets_the_allowed_backends() -> None:
    agent = build_agent(host(triton={}), config(), Sources())
    assert env(agent)["MANYSERVE_ALLOWED_BACKENDS"] == "*"
    limited = config({"allowedBackends": ["onnxruntime", "fil"]})
    assert env(build_agent(host(triton={}), limited, Sources()))["MANYSERVE_ALLOWED_BACKENDS"] == "onnxruntime,fil"


def test_agent_of_another_server_gets_no_backends() -> None:
    sklearn = host(sklearn={"protocolVersion": "v2"})
    assert launch_spec(sklearn, config()).backends == ()


@pytest.mark.parametrize("backends", [[], ["a,b"], [""], ["../x"], "python"])
def test_allowed_backends_of_another_form_are_refused(backends: object) -> None:
    with pytest.raises(ConfigError, match=r"predictors\.triton\.allowedBackends"):
        parse({"predictors": json.dumps({"triton": {"image": "x", "allowedBackends": backends}})})
