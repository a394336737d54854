"""Scope of a program: its variables, and the semantics of Kubernetes' label selectors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from manyserve.api.errors import StartupError
from manyserve.api.scope import EVERYWHERE, LabelSelector, Scope
from manyserve.settings_env import NAMESPACES, SELECTOR, ScopedSettings


def scope_of(environ: dict[str, str]) -> Scope:
    return ScopedSettings.from_env(environ).scope


def test_scope_default_is_all_namespaces() -> None:
    assert scope_of({}) == scope_of({NAMESPACES: "", SELECTOR: ""}) == EVERYWHERE


def test_scope_drops_duplicate_namespaces() -> None:
    assert scope_of({NAMESPACES: "team-a, team-b,team-a"}).namespaces == ("team-a", "team-b")


@pytest.mark.parametrize("text", ["a,,b", "Team", "a b", "-a", "a" * 64, "a.b", "*"])
def test_scope_refuses_invalid_namespace(text: str) -> None:
    with pytest.raises(
        StartupError, match=rf"^{NAMESPACES}='{re.escape(text)}' is not valid: it must be names of namespaces"
    ):
        scope_of({NAMESPACES: text})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "Input should be"),
        ('{"matchlabels": {}}', "matchlabels: Extra inputs"),
        ('{"matchLabels": {"a": 1}}', "matchLabels.a: Input should be a valid string"),
        ('{"matchExpressions": [{"key": "a", "operator": "Is"}]}', "matchExpressions.0.operator: Input should be 'In'"),
        ('{"matchExpressions": [{"key": "a", "operator": "In"}]}', "matchExpressions.0: .*In and NotIn need values"),
        (
            '{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}',
            "matchExpressions.0: .*Exists and DoesNotExist take none",
        ),
    ],
)
def test_scope_error_names_invalid_part_of_selector(text: str, sentence: str) -> None:
    with pytest.raises(
        StartupError, match=rf"(?s)^{SELECTOR}=.* is not valid: it must be a label selector as JSON.*: {sentence}"
    ):
        scope_of({SELECTOR: text})


def test_scope_refuses_list_together_with_selector() -> None:
    with pytest.raises(
        StartupError, match=f"^{SELECTOR}='{{}}' is not valid: it must be unset while {NAMESPACES} is set$"
    ):
        scope_of({NAMESPACES: "a", SELECTOR: "{}"})


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "b", "c": "d"}, True),
        ({"matchLabels": {"a": "b"}}, {"a": "c"}, False),
        ({"matchLabels": {"a": "b", "c": "d"}}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, {"a": "c"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {"a": "b"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {}, True),
        (
            {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            {"a": "b"},
            False,
        ),
    ],
)
def test_label_selector_matches_as_in_kubernetes(
    selector: dict[str, Any], labels: dict[str, str], matches: bool
) -> None:
    scope = scope_of({SELECTOR: json.dumps(selector)})
    assert scope.selector == LabelSelector.model_validate(selector)
    assert scope.selector.matches(labels) is matches
