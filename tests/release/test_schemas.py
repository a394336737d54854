"""JSON schemas of the two kinds: kubeconform accepts the samples with them, and refuses wrong ones."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from manyserve.api_group import GROUPS, KSERVE
from tests.support.programs import PROJECT

PATTERN = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}{{.StrictSuffix}}.json"
SAMPLES = PROJECT / "deploy" / "samples"
KINDS = ("inferenceservice_v1beta1", "trainedmodel_v1alpha1")
Schema = dict[str, Any]


def schema(release: Path, kind: str, suffix: str = "", group: str = KSERVE) -> Schema:
    """Return a schema of the release."""
    found: Schema = json.loads((release / "schemas" / group / f"{kind}{suffix}.json").read_text())
    return found


def parts(node: Any) -> Iterator[Schema]:
    """Yield all parts of a schema with properties."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield node
        for each in node.values():
            yield from parts(each)


def samples(group: str) -> list[Schema]:
    """Return the hosts and the models of the samples."""
    folder = SAMPLES if group == KSERVE else SAMPLES / group
    found = [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
    return [each for each in found if each and each["apiVersion"].startswith(f"{group}/")]


def problems(kubeconform: Path, release: Path, manifest: Schema, *words: str) -> list[str]:
    """Return the sentences of kubeconform about a manifest."""
    command = [str(kubeconform), "-output", "json", "-schema-location", f"{release}/schemas/{PATTERN}", *words, "-"]
    text = yaml.safe_dump(manifest)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return [each["msg"] for each in json.loads(done.stdout)["resources"]]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_closed_where_the_crd_preserves_no_unknown_fields(release: Path, kind: str, group: str) -> None:
    whole = schema(release, kind, group=group)
    assert whole["additionalProperties"] is False
    assert [each for each in parts(whole["properties"]) if each.get("additionalProperties") is False] == []


@pytest.mark.parametrize("kind", KINDS)
def test_strict_schema_is_closed_in_the_typed_parts_of_the_spec_only(release: Path, kind: str) -> None:
    properties = schema(release, kind, "-strict")["properties"]
    assert [each for each in parts(properties["spec"]) if each.get("additionalProperties") is not False] == []
    assert [each for each in parts(properties["status"]) if each.get("additionalProperties") is False] == []


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_need_no_other_schema_and_have_no_words_of_kubernetes(release: Path, kind: str) -> None:
    for suffix in ("", "-strict"):
        text = json.dumps(schema(release, kind, suffix))
        assert "$ref" not in text
        assert '"x-kubernetes-' not in text
        assert '"nullable"' not in text


def test_install_document_has_the_pattern_of_the_schemas() -> None:
    assert f"'schemas/{PATTERN}'" in (PROJECT / "docs" / "install.md").read_text()


@pytest.mark.parametrize("group", GROUPS)
def test_kubeconform_accepts_the_samples(kubeconform: Path, release: Path, group: str) -> None:
    found = samples(group)
    assert {each["kind"] for each in found} == {"InferenceService", "TrainedModel"}
    for each in found:
        assert problems(kubeconform, release, each) == []
        assert problems(kubeconform, release, each, "-strict") == []


@pytest.mark.parametrize("kind", ["InferenceService", "TrainedModel"])
def test_kubeconform_refuses_a_misspelt_field(kubeconform: Path, release: Path, kind: str) -> None:
    sample = next(each for each in samples(KSERVE) if each["kind"] == kind)
    assert problems(kubeconform, release, sample | {"sepc": {}}) != []
    misspelt = sample | {"spec": sample["spec"] | {"inferenceServise": "x"}}
    assert problems(kubeconform, release, misspelt) == [], "the API server accepts it, and preserves it"
    (sentence,) = problems(kubeconform, release, misspelt, "-strict")
    assert "inferenceServise" in sentence


def test_kubeconform_refuses_a_wrong_type_and_a_missing_field(kubeconform: Path, release: Path) -> None:
    model = next(each for each in samples(KSERVE) if each["kind"] == "TrainedModel")
    spec = model["spec"]
    wrong = [
        spec | {"inferenceService": 3},
        {"model": spec["model"]},
        spec | {"model": spec["model"] | {"memory": True}},
    ]
    for each in wrong:
        assert problems(kubeconform, release, model | {"spec": each}) != []
    raw = {"predictor": {"affinity": {"anything": 1}, "triton": {}}}
    host = next(each for each in samples(KSERVE) if each["kind"] == "InferenceService") | {"spec": raw}
    assert problems(kubeconform, release, host, "-strict") == []
