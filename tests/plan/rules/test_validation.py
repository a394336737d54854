"""Validation of whole objects: valid ones pass, parsed and raw ones have the same errors, and no input raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.plan.rules.validation import host_problems, model_problems, parse_host, parse_model
from tests.plan.rules.paths import host_with, model_with
from tests.support.make import host_object, model_object

both_forms = pytest.mark.usefixtures("both_forms")


@both_forms
def test_validation_accepts_objects_of_the_walkthrough() -> None:
    assert model_problems(model_object()) == []
    assert host_problems(host_object()) == []


@both_forms
def test_validation_of_parsed_and_raw_objects_is_equal() -> None:
    assert model_problems(parse_model(model_with("spec.model.memory", "0"))) != []
    assert host_problems(parse_host(host_with("spec.predictor.timeout", 3))) != []


def test_validation_ignores_null() -> None:
    assert host_problems(host_with("spec.transformer", None)) == []
    assert model_problems(model_with("spec.model.foo", None)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


SPEC_KEYS = st.sampled_from(["inferenceService", "model", "predictor", "framework", "memory", "storageUri", "triton"])


@given(st.dictionaries(st.sampled_from(["metadata", "spec"]), JSON | st.dictionaries(SPEC_KEYS, JSON)))
def test_validation_never_raises_for_any_object(raw: dict[str, Any]) -> None:
    for problem in model_problems(raw) + host_problems(raw):
        assert str(problem).isprintable()


@given(st.text(), st.text(), st.text(), st.text() | st.integers())
def test_validation_never_raises_for_any_text_of_a_model(
    name: str, framework: str, uri: str, memory: str | int
) -> None:
    raw = model_object(name, framework=framework, uri=uri, memory=memory)
    for problem in model_problems(raw):
        assert str(problem).isprintable()
        assert len(str(problem)) < 500
