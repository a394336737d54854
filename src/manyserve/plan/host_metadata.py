"""Labels and annotations of a host that its pods and children get; those of the predictor override the host's.

`LEFT_OUT` is the specification. docs/compatibility.md lists the same rows. A key there would make another program act
on a child as if a user had applied it, or would give a user more rights than the namespace does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase, translate
from typing import Any, NamedTuple

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import MANAGED_BY
from manyserve.api_group import KSERVE, OWN
from manyserve.plan.visibility import VISIBILITY_LABELS


class LeftOut(NamedTuple):
    """Keys of labels and annotations that no child gets, and the reason."""

    keys: tuple[str, ...]
    """Patterns, in which `*` matches any text."""
    reason: str


INGRESS_CLASS = LeftOut(("kubernetes.io/ingress.class",), "the class is that of inferenceservice-config")
SNIPPET = LeftOut(
    ("*/*-snippet*", "haproxy-ingress.github.io/config-*", "ingress.kubernetes.io/config-*"),
    "such text would run in the ingress controller, with its rights",
)
ALIAS = LeftOut(("*/server-alias*",), "the host would answer at the host names of other hosts")
LEFT_OUT = (
    LeftOut(
        (f"{KSERVE}/*", f"*.{KSERVE}/*", f"{OWN}/*", *VISIBILITY_LABELS),
        "they are settings of the host, and the labels by which manyserve and KServe find objects",
    ),
    LeftOut(
        (MANAGED_BY, "app.kubernetes.io/instance", "helm.sh/*", "meta.helm.sh/*"),
        "Helm and Argo CD find their objects by them",
    ),
    LeftOut(("argocd.argoproj.io/*",), "Argo CD would delete a child as an object that is not in its source"),
    LeftOut(("fluxcd.io/*", "*.fluxcd.io/*"), "Flux would delete a child as an object that is not in its source"),
    LeftOut(
        ("kubectl.kubernetes.io/*", "applyset.kubernetes.io/*"),
        "kubectl keeps the applied manifest in them, and deletes other objects of its set",
    ),
    LeftOut(
        ("config.k8s.io/*", "kapp.k14s.io/*", "objectset.rio.cattle.io/*", "velero.io/*"),
        "kpt, kapp, Rancher and Velero find their objects by them",
    ),
    LeftOut(
        ("addonmanager.kubernetes.io/*", "configmanagement.gke.io/*", "configsync.gke.io/*", "fleet.cattle.io/*"),
        "these tools delete objects of their own that are not in their source",
    ),
    LeftOut(
        ("pod-template-hash", "deployment.kubernetes.io/*", "autoscaling.alpha.kubernetes.io/*"),
        "Kubernetes itself sets them",
    ),
    LeftOut(
        ("azure.workload.identity/inject-proxy-sidecar", "azure.workload.identity/proxy-sidecar-port"),
        "Azure's proxy would give the agent's identity to the model server",
    ),
    INGRESS_CLASS,
    SNIPPET,
    ALIAS,
)
_LEFT_OUT = re.compile("|".join(translate(key) for row in LEFT_OUT for key in row.keys))


def is_left_out(key: str) -> bool:
    """Return whether no child gets this label or annotation."""
    return _LEFT_OUT.match(key) is not None


def child_labels(host: InferenceService) -> dict[str, str]:
    """Return the labels of the user for the children and pods of the host."""
    return _kept(host.metadata.labels) | _kept(host.spec.predictor.labels or {})


def child_annotations(host: InferenceService) -> dict[str, str]:
    """Return the annotations of the user for the children and pods of the host."""
    return _kept(host.metadata.annotations) | _kept(host.spec.predictor.annotations or {})


def has_annotation(pattern: str, host: InferenceService) -> bool:
    """Return whether the user sets an annotation with a key of this pattern."""
    keys = (*host.metadata.annotations, *(host.spec.predictor.annotations or ()))
    return any(fnmatchcase(key, pattern) for key in keys)


def with_host_metadata(metadata: Mapping[str, Any], host: InferenceService) -> dict[str, Any]:
    """Return the metadata of a child or of the pod template with those of the user; the operator's own stay."""
    labels = child_labels(host) | metadata.get("labels", {})
    annotations = child_annotations(host) | metadata.get("annotations", {})
    return dict(metadata) | {"labels": labels} | ({"annotations": annotations} if annotations else {})


def _kept(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if not is_left_out(key)}
