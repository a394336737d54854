"""Visibility of a host: whether it gets an address outside the cluster.

A label of KServe or Knative makes a host *cluster-local*, on the host or on its predictor. So does the cluster's own
domain as `ingressDomain`, as in KServe.
"""

from __future__ import annotations

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.servingconfig import IngressConfig

VISIBILITY_LABELS = (
    "networking.kserve.io/visibility",
    "networking.knative.dev/visibility",
    "serving.knative.dev/visibility",
)
"""Labels of KServe, of Knative, and of KFServing 0.6."""
CLUSTER_LOCAL = "cluster-local"
EXPOSED = "exposed"
"""Value of OpenShift AI for a host with an address outside the cluster, which is the default here."""
_CLUSTER_DOMAIN = "svc.cluster.local"


def is_cluster_local(host: InferenceService, ingress: IngressConfig) -> bool:
    """Return whether the host has no address outside the cluster."""
    places = (host.metadata.labels, host.spec.predictor.labels or {})
    return ingress.ingress_domain == _CLUSTER_DOMAIN or any(
        labels.get(label) == CLUSTER_LOCAL for labels in places for label in VISIBILITY_LABELS
    )


def is_exposed(host: InferenceService, ingress: IngressConfig) -> bool:
    """Return whether the host gets an Ingress or an HTTPRoute."""
    return not ingress.disable_ingress_creation and not is_cluster_local(host, ingress)
