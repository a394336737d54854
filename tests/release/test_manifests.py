"""install.yaml and crds.yaml: the chart's objects, without anything of Helm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from manyserve.api_group import GROUPS, KSERVE
from tests.chart.rendering import Manifest, objects
from tests.support.programs import PROJECT


def file_of(kind: str, group: str) -> str:
    """Return the name of a file of an API group."""
    return f"{kind}.yaml" if group == KSERVE else f"{kind}-{group}.yaml"


def installed(release: Path, group: str = KSERVE) -> list[Manifest]:
    """Return the objects of install.yaml."""
    return list(yaml.safe_load_all((release / file_of("install", group)).read_text()))


def identity(manifest: Manifest) -> tuple[str, str, str]:
    """Return kind, namespace and name."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def without_labels(node: Any) -> Any:
    """Return a manifest without labels and annotations, which have the version."""
    if isinstance(node, dict):
        return {key: without_labels(each) for key, each in node.items() if key not in ("labels", "annotations")}
    return [without_labels(each) for each in node] if isinstance(node, list) else node


@pytest.mark.parametrize("group", GROUPS)
def test_install_yaml_has_the_namespace_the_crds_and_then_the_objects_of_the_chart(release: Path, group: str) -> None:
    first, *rest = installed(release, group)
    assert identity(first) == ("Namespace", "", "manyserve-system")
    assert [each["kind"] for each in rest].index("ServiceAccount") > 1
    assert {each["kind"] for each in rest[:2]} == {"CustomResourceDefinition"}
    assert sorted(map(identity, rest)) == sorted(map(identity, objects(f"api.group={group}")))


def test_install_yaml_differs_from_the_chart_in_its_version_only(release: Path) -> None:
    rendered = {identity(each): without_labels(each) for each in objects()}
    for each in installed(release)[1:]:
        text = json.dumps(without_labels(each)).replace("manyserve:1.2.0-rc.1", "manyserve:0.1.0")
        assert json.loads(text) == rendered[identity(each)]


@pytest.mark.parametrize("group", GROUPS)
def test_install_yaml_has_no_label_annotation_or_hook_of_helm(release: Path, group: str) -> None:
    text = (release / file_of("install", group)).read_text()
    assert "helm" not in text.lower()
    assert "annotations: {}" not in text


def test_install_yaml_labels_its_pods_as_their_selectors_say(release: Path) -> None:
    pods = [each["spec"] for each in installed(release) if each["kind"] == "Deployment"]
    assert len(pods) == 2
    for spec in pods:
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("group", GROUPS)
def test_crds_yaml_has_the_crds_of_the_repository(release: Path, group: str) -> None:
    folder = PROJECT / "crds" / ("" if group == KSERVE else group)
    expected = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]
    assert list(yaml.safe_load_all((release / file_of("crds", group)).read_text())) == expected
