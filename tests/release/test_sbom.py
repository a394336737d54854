"""The bill of materials has every package of the image's lock, with its licence."""

from __future__ import annotations

import json
import re
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest

from tests.release.test_image import LOCK, normalized


@pytest.fixture(scope="module")
def sbom(release: Path) -> dict[str, Any]:
    """The document."""
    document: dict[str, Any] = json.loads((release / "sbom.cdx.json").read_text())
    return document


def test_sbom_has_the_form_of_cyclonedx(sbom: dict[str, Any]) -> None:
    assert (sbom["bomFormat"], sbom["specVersion"], sbom["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", sbom["serialNumber"])
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", sbom["metadata"]["timestamp"])
    component = sbom["metadata"]["component"]
    assert (component["name"], component["version"], component["type"]) == ("manyserve", "1.2.0rc1", "application")


def test_sbom_has_every_package_of_the_lock(sbom: dict[str, Any]) -> None:
    assert [(each["name"], each["version"]) for each in sbom["components"]] == [
        (each.name, each.version) for each in LOCK
    ]
    assert all(each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}" for each in sbom["components"])


def test_sbom_has_a_licence_for_every_package_that_is_installed(sbom: dict[str, Any]) -> None:
    here = {normalized(each.name) for each in distributions()}
    assert [each["name"] for each in sbom["components"] if each["name"] in here and "licenses" not in each] == []


def test_sbom_has_the_dependencies_of_the_lock(sbom: dict[str, Any]) -> None:
    references = [sbom["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in sbom["components"])]
    needs = {each["ref"]: each["dependsOn"] for each in sbom["dependencies"]}
    assert list(needs) == references
    assert {each for needed in needs.values() for each in needed} == set(references[1:])
    name = {each["name"]: each["bom-ref"] for each in sbom["components"]}
    assert {name["grpcio"], name["kopf"]} <= set(needs[references[0]])
    assert name["protobuf"] in needs[name["xds-protos"]]
