"""Manifests for people without Helm: what the chart renders, without Helm's own labels and annotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from webhooks.render import helm

NAMESPACE = "manyserve-system"
Manifest = dict[str, Any]
_OF_HELM = ("helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by")
_HEAD = "# manyserve {version}, API group {group}. docs/install.md describes its use.\n"


def install(chart: Path, version: str, group: str) -> str:
    """Return the objects of a release with the chart's own values, the namespace first and then the CRDs."""
    settings = ["--namespace", NAMESPACE, "--skip-tests", "--set", f"api.group={group}"]
    rendered = list(filter(None, yaml.safe_load_all(helm("template", "manyserve", str(chart), *settings))))
    rendered.sort(key=lambda each: each["kind"] != "CustomResourceDefinition")
    return _text([_namespace(), *(_without_helm(each) for each in rendered)], version, group)


def crds(folder: Path, version: str, group: str) -> str:
    """Return the CRDs of a folder."""
    return _text([yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))], version, group)


def _namespace() -> Manifest:
    labels = {"app.kubernetes.io/part-of": "manyserve"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}


def _without_helm(node: Any) -> Any:
    """Return a manifest without the labels and annotations by which Helm knows its objects."""
    if isinstance(node, list):
        return [_without_helm(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key not in _OF_HELM}
    return {key: _without_helm(value) for key, value in kept.items() if not _is_emptied(node[key])}


def _is_emptied(value: Any) -> bool:
    """Return whether a mapping has nothing but keys of Helm."""
    return isinstance(value, dict) and bool(value) and not set(value).difference(_OF_HELM)


def _text(objects: list[Manifest], version: str, group: str) -> str:
    return _HEAD.format(version=version, group=group) + "---\n".join(_documents(objects))


def _documents(objects: list[Manifest]) -> Iterator[str]:
    for each in objects:
        yield yaml.safe_dump(each, sort_keys=False, width=110, allow_unicode=True)
