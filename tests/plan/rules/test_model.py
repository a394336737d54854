"""Rules for models: memory, framework, host, name, unknown fields, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.trainedmodel import TrainedModel
from manyserve.plan.rules.validation import model_problems, parse_model
from tests.plan.rules.paths import model_with, sentences

EXAMPLE = "it must be a quantity greater than 0 in whole bytes, such as 512Mi or 1Gi"


@pytest.mark.parametrize(
    ("memory", "why"),
    [
        ("0", "'0' is not greater than 0"),
        ("-1Gi", "'-1Gi' is not greater than 0"),
        ("abc", "'abc' is not a quantity"),
        ("1gi", "'1gi' is not a quantity"),
        (" 1Gi", "' 1Gi' is not a quantity"),
        ("", "'' is not a quantity"),
        ("NaN", "'NaN' is not a quantity"),
        ("1.5", "'1.5' is not a whole number of bytes"),
        ("0.1m", "'0.1m' is not a whole number of bytes"),
        ("9999999999Ei", "'9999999999Ei' is more than any machine has"),
        ("1e999", "'1e999' is more than any machine has"),
        (0, "'0' is not greater than 0"),
        (True, "true is not a quantity"),
        (1.5, "1.5 is not a quantity"),
        (None, "null is not a quantity"),
        ([1], "a list is not a quantity"),
    ],
)
def test_model_rules_refuse_memory_that_is_not_summable(memory: Any, why: str) -> None:
    problems = sentences(model_problems(model_with("spec.model.memory", memory)))
    assert problems == [f"spec.model.memory: {why}; {EXAMPLE}"]


@pytest.mark.parametrize("memory", ["1Gi", "1.5Gi", "1e3", "1E", "1500M", 1, 4096])
def test_model_rules_accept_memory_in_whole_bytes(memory: Any) -> None:
    assert model_problems(model_with("spec.model.memory", memory)) == []


@pytest.mark.parametrize("framework", ["", "PyTorch", "a b", "$(x)", "a/b", "x" * 1_000_000])
def test_model_rules_require_one_word_as_framework(framework: str) -> None:
    (problem,) = model_problems(model_with("spec.model.framework", framework))
    assert problem.path == "spec.model.framework"
    assert len(problem.message) < 250


@pytest.mark.parametrize("name", ["ns/other", "A", "x_y", "1a", "", "a" * 64])
def test_model_rules_refuse_invalid_host_name(name: str) -> None:
    (problem,) = model_problems(model_with("spec.inferenceService", name))
    assert problem.path == "spec.inferenceService"


@pytest.mark.parametrize("name", ["Cifar", "a.b", "a" * 201, "emoji😀"])
def test_model_rules_refuse_name_that_does_not_fit_a_url(name: str) -> None:
    (problem,) = model_problems(model_with("metadata.name", name))
    assert "letters, digits and - only, at most 128" in problem.message


def test_model_rules_refuse_unknown_field_of_raw_and_parsed_model() -> None:
    for path in ("spec.foo", "spec.model.storageURI"):
        raw = model_with(path, "x")
        (problem,) = model_problems(raw)
        assert problem.path == path
        assert model_problems(parse_model(raw)) == [problem] == model_problems(TrainedModel.from_wire(raw))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.model.framework", "x" * 64),
        ("spec.inferenceService", "x" * 64),
        ("spec.model.storageUri", f"gs://bucket/{'x' * 2048}"),
        ("spec.model.digest", "sha256:abc"),
        ("spec.model.refreshInterval", "9.9s"),
        ("spec.model.memory", "1" * 65),
    ],
)
def test_model_rules_refuse_value_out_of_bounds_that_parses(path: str, value: str) -> None:
    raw = model_with(path, value)
    assert TrainedModel.from_wire(raw).metadata.name
    (problem,) = model_problems(raw)
    assert problem.path == path
