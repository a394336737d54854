"""CRDs: structural, documented and open. The contract tests check that the API server accepts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from manyserve.api import crd
from manyserve.api_group import GROUPS, KSERVE, OWN

MAPS = (".labels", ".annotations", ".limits", ".requests", ".nodeSelector")
"""Maps with typed values, so that no key is unknown."""
DEFINITIONS = [crd.inference_services(KSERVE), crd.trained_models(KSERVE)]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}.*")


def all_nodes(definition: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(nodes(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_crd_schema_documents_each_field(definition: dict[str, Any]) -> None:
    missing = [path for path, node in all_nodes(definition) if not node.get("description")]
    assert [path for path in missing if not path.endswith(("[]", ".*", ".metadata"))] == []


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_crd_schema_has_types_only_so_that_objects_of_kserve_pass(definition: dict[str, Any]) -> None:
    allowed = {"type", "description", "required", "properties", "items", "additionalProperties", "anyOf", "nullable"}
    allowed |= {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    typed = [
        (path, set(node) - ({"x-kubernetes-validations"} if path == ".spec.predictor" else set()))
        for path, node in all_nodes(definition)
    ]
    assert [path for path, keys in typed if not keys <= allowed] == []


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_crd_schema_preserves_unknown_fields(definition: dict[str, Any]) -> None:
    objects = [(path, node) for path, node in all_nodes(definition) if node.get("type") == "object"]
    assert len(objects) > 5
    pruned = [path for path, node in objects if not node.get("x-kubernetes-preserve-unknown-fields")]
    assert [path for path in pruned if path not in ("", ".metadata") and not path.endswith(MAPS)] == []


def test_crd_schema_requires_no_more_than_kserve() -> None:
    required = {path: node["required"] for each in DEFINITIONS for path, node in all_nodes(each) if "required" in node}
    assert {path: names for path, names in required.items() if not path.endswith(".env[]")} == {
        ".spec": ["inferenceService", "model"],
        ".spec.model": ["framework", "storageUri", "memory"],
        ".status.conditions[]": ["type", "status"],
        ".status.lastFailure": ["pod", "reason", "message"],
        ".status.placedBy": ["name", "uid"],
    }


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_crd_schema_has_no_reference_union_or_title(definition: dict[str, Any]) -> None:
    for path, node in all_nodes(definition):
        assert not {"$ref", "title", "default", "allOf", "oneOf", "const"} & set(node), path
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), path


def test_crd_columns_are_those_of_walkthrough_and_wide_has_more() -> None:
    columns = [each["spec"]["versions"][0]["additionalPrinterColumns"] for each in DEFINITIONS]
    default = [[each["name"].upper() for each in some if not each.get("priority")] for some in columns]
    assert default[0] == ["URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE"]
    assert default[1] == ["URL", "READY", "AGE"]
    wide = [each["name"].upper() for each in columns[1] if each.get("priority")]
    assert wide == ["HOST", "FRAMEWORK", "MEMORY", "LOADED", "ON", "REASON"]


@pytest.mark.parametrize(("group", "short"), [(KSERVE, ["isvc", "tm"]), (OWN, ["misvc", "mtm"])])
def test_crd_of_the_groups_differs_in_short_names_only(group: str, short: list[str]) -> None:
    definitions = [crd.inference_services(group), crd.trained_models(group)]
    names = [each["spec"]["names"] for each in definitions]
    assert [each.pop("shortNames") for each in names] == [[each] for each in short]
    assert [each["plural"] for each in names] == ["inferenceservices", "trainedmodels"]
    reference = [crd.inference_services(KSERVE), crd.trained_models(KSERVE)]
    for definition, other in zip(definitions, reference, strict=True):
        other["spec"]["names"].pop("shortNames")
        assert definition["metadata"].pop("name") == f"{definition['spec']['names']['plural']}.{group}"
        assert definition["spec"].pop("group") == group
        other["metadata"].pop("name")
        other["spec"].pop("group")
        assert definition == other


@pytest.mark.parametrize("group", GROUPS)
def test_crd_has_label_for_the_chart(group: str) -> None:
    for definition in (crd.inference_services(group), crd.trained_models(group)):
        assert definition["metadata"]["labels"] == {"app.kubernetes.io/part-of": "manyserve"}
