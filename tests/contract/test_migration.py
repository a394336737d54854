"""Replacement of KServe's CRDs by ours, as docs/migrating-from-kserve.md describes it; no object changes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.paths import Cluster
from tests.support import kserve_children as kserve
from tests.support import make
from tests.support.control_plane import CRDS, environment
from tests.support.document import script
from tests.support.eventually import eventually_sync
from tests.support.foreign_crds import NAMES, permissive_crds
from tests.support.helm import remove_crds
from tests.support.kubectl import Kubectl, Manifest, Refused
from tests.support.programs import PROJECT

DOC = PROJECT / "docs" / "migrating-from-kserve.md"
OTHER_VERSION = "When objects are stored in another version"


@pytest.fixture
def kubectl(bare_server: Cluster) -> Iterator[Kubectl]:
    """kubectl on an API server without the CRDs before and after the test."""
    bare = Kubectl(environment(bare_server))
    yield bare
    remove_crds(bare)


def shell(kubectl: Kubectl, commands: str) -> None:
    path = f"{Path(sys.executable).parent}:{kubectl.env['PATH']}"
    words = ["bash", "-c", f"set -euo pipefail\nKSERVE=default\n{commands}"]
    subprocess.run(words, cwd=PROJECT, env=kubectl.env | {"PATH": path}, check=True, capture_output=True, timeout=120)


def with_conversion(crd: Manifest, *further: str) -> Manifest:
    """Return a CRD with a conversion webhook that never answers, and further versions."""
    webhook = {"conversionReviewVersions": ["v1beta1"], "clientConfig": {"url": "https://127.0.0.1:1/convert"}}
    (version,) = crd["spec"]["versions"]
    others = [version | {"name": name, "storage": False} for name in further]
    conversion = {"strategy": "Webhook", "webhook": webhook} if not further else {"strategy": "None"}
    return crd | {"spec": crd["spec"] | {"conversion": conversion, "versions": [version, *others]}}


def stored(kubectl: Kubectl) -> list[Manifest]:
    """Create an object of each kind in the form that KServe stores, and return them."""
    model = {"modelFormat": {"name": "triton"}, "future": {"a": [1]}}
    host = kserve.kept_by_kserve(make.host_object(triton=None, model=model))
    for manifest in (host, kserve.kept_model(make.model_object())):
        eventually_sync(lambda manifest=manifest: served(kubectl, manifest), "the kind is served")  # type: ignore[misc]
    return stored_objects(kubectl)


def served(kubectl: Kubectl, manifest: Manifest) -> bool:
    try:
        return bool(kubectl.apply(manifest))
    except Refused:
        return False


def stored_objects(kubectl: Kubectl) -> list[Manifest]:
    return kubectl.list(",".join(NAMES), "--all-namespaces")


def test_crd_replacement_removes_the_conversion_and_changes_no_object(kubectl: Kubectl) -> None:
    kubectl.apply(*map(with_conversion, permissive_crds()))
    before = stored(kubectl)
    shell(kubectl, script(DOC, "3. Replace the CRDs"))
    for name in NAMES:
        assert kubectl.get("crd", name)["spec"]["conversion"] == {"strategy": "None"}
    eventually_sync(lambda: "misvc" not in kubectl("api-resources") and stored_objects(kubectl), "ours are served")
    assert stored_objects(kubectl) == before, "also unknown fields and resourceVersions"


def test_crd_replacement_is_refused_until_objects_are_stored_in_our_version(kubectl: Kubectl) -> None:
    host, model = permissive_crds()
    kubectl.apply(with_conversion(host, "v1alpha2"), model)
    stored(kubectl)
    versions = json.dumps({"status": {"storedVersions": ["v1alpha2", "v1beta1"]}})
    kubectl("patch", "crd", NAMES[0], "--subresource=status", "--type=merge", "-p", versions)
    with pytest.raises(Refused, match=r"missing from spec\.versions"):
        kubectl("replace", "-f", str(CRDS / "inferenceservices.yaml"))
    shell(kubectl, script(DOC, OTHER_VERSION))
    kubectl("replace", "-f", str(CRDS / "inferenceservices.yaml"))
    assert kubectl.get("crd", NAMES[0])["status"]["storedVersions"] == ["v1beta1"]
