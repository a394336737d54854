"""Software bill of materials in the form of CycloneDX 1.5: the locked packages of the image with their licences."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from scripts.release.lock import Locked
from scripts.release.version import Version

DIRECT = "-r requirements/runtime.in"
"""The lock's word for the project itself."""
_OSI = "License :: OSI Approved :: "
_LONGEST = 80
"""Characters of a licence's name; a longer text is the licence itself."""
Json = dict[str, Any]


def document(packages: list[Locked], version: Version, revision: str, time: int) -> str:
    """Return the document; its serial number and its time come from the version and the commit."""
    root = _component("manyserve", version.python) | {"type": "application", "licenses": [{"expression": "Apache-2.0"}]}
    root["properties"] = [{"name": "git:revision", "value": revision}]
    components = [_component(each.name, each.version) | _licenses(each.name) for each in packages]
    references = {each.name: part["bom-ref"] for each, part in zip(packages, components, strict=True)}
    parents = {DIRECT: root["bom-ref"]} | references
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'manyserve@{version.text}+{revision}')}",
        "version": 1,
        "metadata": {"timestamp": datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "component": root},
        "components": components,
        "dependencies": [
            {"ref": reference, "dependsOn": [references[each.name] for each in packages if name in each.needed_by]}
            for name, reference in parents.items()
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def _component(name: str, version: str) -> Json:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _licenses(name: str) -> Json:
    """Return the licence that an installed package declares; a package for another platform is not installed."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return {}
    if "License-Expression" in about:
        return {"licenses": [{"expression": about["License-Expression"]}]}
    classifiers = [each.removeprefix(_OSI) for each in about.get_all("Classifier") or () if each.startswith(_OSI)]
    declared = (about.get_all("License") or [""])[0]
    names = classifiers or ([declared] if declared and len(declared) <= _LONGEST else [])
    return {"licenses": [{"license": {"name": each}} for each in names]} if names else {}
