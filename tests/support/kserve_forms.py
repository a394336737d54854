"""Objects as users of KServe write them and as KServe stores them, and CRDs that accept anything, as KServe's do.

Each file of `tests/data/kserve` is one form. Its annotation has the reason why it is unmanaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.control_plane import CRDS
from tests.support.eventually import eventually_sync
from tests.support.foreign_crds import permissive_crds
from tests.support.kubectl import Kubectl

Manifest = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "data" / "kserve"
REASON = "example.com/unmanaged"
"""The annotation with the reason why a form is unmanaged."""
HOST_FINALIZER = "inferenceservice.finalizers"
MODEL_FINALIZER = "trainedmodel.finalizer"
MODE = {"serving.kserve.io/deploymentMode": "RawDeployment"}
APPLY = ("apply", "--server-side", "--force-conflicts")
REPLACE = ("replace",)


@dataclass(frozen=True)
class Form:
    """One object of KServe's, and the reason why it is unmanaged."""

    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.manifest["metadata"]["name"])

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.manifest["kind"])

    @property
    def reason(self) -> str:
        """The reason from the file."""
        return str(self.manifest["metadata"]["annotations"][REASON])

    @property
    def marked(self) -> bool:
        """Whether the object has one of KServe's marks."""
        return self.reason in ("KServeFinalizer", "KServeDeploymentMode")

    def copy(self, name: str, **metadata: Any) -> Manifest:
        """Return the object under another name, with further metadata."""
        copied = deepcopy(self.manifest)
        copied["metadata"] |= {"name": name} | metadata
        return copied


def crds_in(folder: Path) -> str:
    """Return the CRDs of a folder as one text."""
    return "\n---\n".join(each.read_text() for each in sorted(folder.glob("*.yaml")))


FORMS = tuple(Form(yaml.safe_load(each.read_text())) for each in sorted(FOLDER.glob("*.yaml")))
PERMISSIVE = yaml.safe_dump_all(permissive_crds())
TODAY = crds_in(CRDS)


def install(kubectl: Kubectl, crds: str, way: tuple[str, ...] = APPLY) -> None:
    """Replace the present CRDs, and wait until the API server uses the new ones.

    Its answer to a list shows the columns of the CRD in force; there must be an object of each kind.
    """
    kubectl(*way, "-f", "-", text=crds)
    ready = 0 if crds == PERMISSIVE else 2
    eventually_sync(lambda: kubectl("get", "isvc,tm", "-A").count(" READY ") == ready, "the CRDs are in force", 20)


def store(kubectl: Kubectl, forms: Iterable[Form]) -> None:
    """Store forms with their statuses, and models with an owner reference to their host."""
    forms = tuple(forms)
    hosts = [each.manifest for each in forms if each.kind == "InferenceService"]
    kubectl("create", "-f", "-", text=yaml.safe_dump_all(hosts))
    uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in kubectl.list("isvc")}
    models = [_owned(each.manifest, uids) for each in forms if each.kind == "TrainedModel"]
    if models:
        kubectl("create", "-f", "-", text=yaml.safe_dump_all(models))
    with_status = [each for each in (*hosts, *models) if "status" in each]
    if with_status:
        kubectl("replace", "--subresource=status", "-f", "-", text=yaml.safe_dump_all(with_status))


def drop_finalizers(kubectl: Kubectl) -> None:
    """Remove all finalizers, so that the namespace can be deleted."""
    for kind in ("isvc", "tm"):
        for manifest in kubectl.list(kind):
            if manifest["metadata"].get("finalizers"):
                patch = '{"metadata":{"finalizers":null}}'
                kubectl("patch", kind, manifest["metadata"]["name"], "--type=merge", "-p", patch)


def _owned(model: Manifest, uids: dict[str, str]) -> Manifest:
    """Return a model with an owner reference, as an earlier release of manyserve wrote it, if its host exists."""
    host = model["spec"]["inferenceService"]
    if host not in uids:
        return model
    owner = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "name": host,
        "uid": uids[host],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return model | {"metadata": model["metadata"] | {"ownerReferences": [owner]}}
