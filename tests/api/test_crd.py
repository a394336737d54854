"""The CRDs: structural, documented and open; whether the API server agrees is a contract test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from manyserve.api import crd
from manyserve.api_group import GROUPS, KSERVE, OWN

MAPS = (".limits", ".requests", ".nodeSelector")
"""Their values have a type, so no key of theirs is unknown."""
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
def test_every_field_is_documented(definition: dict[str, Any]) -> None:
    missing = [path for path, node in all_nodes(definition) if not node.get("description")]
    assert [path for path in missing if not path.endswith(("[]", ".*", ".metadata"))] == []


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_nothing_but_types_is_checked_so_that_every_object_of_kserve_passes(definition: dict[str, Any]) -> None:
    allowed = {"type", "description", "required", "properties", "items", "additionalProperties", "anyOf", "nullable"}
    allowed |= {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    assert [path for path, node in all_nodes(definition) if not set(node) <= allowed] == []


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_every_object_of_spec_and_status_preserves_unknown_fields(definition: dict[str, Any]) -> None:
    objects = [(path, node) for path, node in all_nodes(definition) if node.get("type") == "object"]
    assert len(objects) > 5
    pruned = [path for path, node in objects if not node.get("x-kubernetes-preserve-unknown-fields")]
    assert [path for path in pruned if path not in ("", ".metadata") and not path.endswith(MAPS)] == []


def test_no_more_is_required_than_by_kserve() -> None:
    required = {path: node["required"] for each in DEFINITIONS for path, node in all_nodes(each) if "required" in node}
    assert {path: names for path, names in required.items() if not path.endswith(".env[]")} == {
        ".spec": ["inferenceService", "model"],
        ".spec.model": ["framework", "storageUri", "memory"],
        ".status.conditions[]": ["type", "status"],
        ".status.lastFailure": ["pod", "reason", "message"],
        ".status.placedBy": ["name", "uid"],
    }


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_no_reference_union_or_title_is_left(definition: dict[str, Any]) -> None:
    for path, node in all_nodes(definition):
        assert not {"$ref", "title", "default", "allOf", "oneOf", "const"} & set(node), path
        assert "anyOf" not in node or node.get("x-kubernetes-int-or-string"), path


def test_the_default_columns_are_the_walkthroughs_and_wide_has_more() -> None:
    columns = [each["spec"]["versions"][0]["additionalPrinterColumns"] for each in DEFINITIONS]
    default = [[each["name"].upper() for each in some if not each.get("priority")] for some in columns]
    assert default[0] == ["URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE"]
    assert default[1] == ["URL", "READY", "AGE"]
    wide = [each["name"].upper() for each in columns[1] if each.get("priority")]
    assert wide == ["HOST", "FRAMEWORK", "MEMORY", "LOADED", "REASON"]


@pytest.mark.parametrize(("group", "short"), [(KSERVE, ["isvc", "tm"]), (OWN, ["misvc", "mtm"])])
def test_short_names_differ_between_the_groups_and_nothing_else_does(group: str, short: list[str]) -> None:
    found = [crd.inference_services(group), crd.trained_models(group)]
    names = [each["spec"]["names"] for each in found]
    assert [each.pop("shortNames") for each in names] == [[each] for each in short]
    assert [each["plural"] for each in names] == ["inferenceservices", "trainedmodels"]
    reference = [crd.inference_services(KSERVE), crd.trained_models(KSERVE)]
    for each, other in zip(found, reference, strict=True):
        other["spec"]["names"].pop("shortNames")
        assert each["metadata"].pop("name") == f"{each['spec']['names']['plural']}.{group}"
        assert each["spec"].pop("group") == group
        other["metadata"].pop("name")
        other["spec"].pop("group")
        assert each == other


@pytest.mark.parametrize("group", GROUPS)
def test_the_definitions_have_the_label_by_which_the_chart_knows_them(group: str) -> None:
    for each in (crd.inference_services(group), crd.trained_models(group)):
        assert each["metadata"]["labels"] == {"app.kubernetes.io/part-of": "manyserve"}
