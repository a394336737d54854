"""Rules for labels and annotations of a host. Input 33: those that no pod may have."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.rules.metadata import ANNOTATIONS_LIMIT, KEY_SENTENCE, VALUE_SENTENCE
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.visibility import VISIBILITY_LABELS
from tests.plan.rules.paths import sentences
from tests.support.make import host_object, labelled

pytestmark = pytest.mark.usefixtures("both_forms")


@pytest.mark.parametrize("label", VISIBILITY_LABELS)
def test_input_33_unknown_visibility_is_refused(label: str) -> None:
    assert host_problems(labelled({label: "cluster-local"})) == []
    assert sentences(host_problems(labelled({label: "clusterlocal"}))) == [
        f"metadata.labels[{label}]: 'clusterlocal' is not allowed; it must be cluster-local or exposed, or be left out"
    ]


@pytest.mark.parametrize("key", ["team", "example.com/Team_1.x", "a" * 63, f"{'a.' * 126}b/{'c' * 63}"])
def test_rules_allow_label_and_annotation_of_predictor(key: str) -> None:
    assert host_problems(host_object(labels={key: "Risk-1_a.b"}, annotations={key: "any text\n"})) == []
    assert host_problems(host_object(labels={key: ""})) == []


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a b", "-a", "a" * 64, "EXAMPLE..com/a", "a/b/c", f"{'a.' * 127}b/c", "a" * 100_000 + "!"]
)
def test_input_33_malformed_key_of_predictor_is_refused(key: str) -> None:
    for field in ("labels", "annotations"):
        predictor: dict[str, Any] = {field: {key: "x"}}
        (problem,) = host_problems(host_object(**predictor))
        assert problem.path == f"spec.predictor.{field}"
        assert problem.message.endswith(f" is not a key; it {KEY_SENTENCE}")


@pytest.mark.parametrize("value", ["a b", "-a", "a" * 64, "risk!"])
def test_input_33_malformed_value_of_label_is_refused(value: str) -> None:
    (problem,) = host_problems(host_object(labels={"team": value}))
    assert problem.path == "spec.predictor.labels[team]"
    assert problem.message.endswith(f" is not allowed; it {VALUE_SENTENCE}")


def test_input_33_annotations_that_no_child_can_hold_are_refused() -> None:
    fitting = {"note": "x" * (ANNOTATIONS_LIMIT - len("note"))}
    assert host_problems(labelled({}, fitting)) == []
    assert host_problems(labelled({}, fitting | {"kubectl.kubernetes.io/note": "x" * 1000})) == []
    (problem,) = host_problems(labelled({}, fitting, annotations={"a": "b"}))
    assert str(problem) == (
        f"metadata.annotations: the pods and children get {ANNOTATIONS_LIMIT + 2} bytes; "
        f"it must be at most {ANNOTATIONS_LIMIT} bytes"
    )
