"""The kinds that we read or write, and their paths at the API server."""

from __future__ import annotations

from dataclasses import dataclass

from manyserve.api.names import GROUP


@dataclass(frozen=True)
class Kind:
    """One kind, with its API version and plural."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, or without a name of all objects (of a namespace)."""
        root = "/api" if "/" not in self.api_version else "/apis"
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        rest = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}/{self.api_version}{scope}/{self.plural}{rest}"


INFERENCE_SERVICE = Kind("InferenceService", f"{GROUP}/v1beta1", "inferenceservices")
TRAINED_MODEL = Kind("TrainedModel", f"{GROUP}/v1alpha1", "trainedmodels")
DEPLOYMENT = Kind("Deployment", "apps/v1", "deployments")
REPLICA_SET = Kind("ReplicaSet", "apps/v1", "replicasets")
SERVICE = Kind("Service", "v1", "services")
CONFIG_MAP = Kind("ConfigMap", "v1", "configmaps")
POD = Kind("Pod", "v1", "pods")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers")
DISRUPTION_BUDGET = Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets")
NETWORK_POLICY = Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies")
INGRESS = Kind("Ingress", "networking.k8s.io/v1", "ingresses")
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io/v1", "httproutes")
SERVICE_ACCOUNT = Kind("ServiceAccount", "v1", "serviceaccounts")
CLAIM = Kind("PersistentVolumeClaim", "v1", "persistentvolumeclaims")
SECRET = Kind("Secret", "v1", "secrets")
EVENT = Kind("Event", "v1", "events")
NAMESPACE = Kind("Namespace", "v1", "namespaces", namespaced=False)
CRD = Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
LEASE = Kind("Lease", "coordination.k8s.io/v1", "leases")

CHILDREN = (DEPLOYMENT, SERVICE, CONFIG_MAP, AUTOSCALER, DISRUPTION_BUDGET, NETWORK_POLICY, INGRESS, HTTP_ROUTE)
"""The kinds of a host's children."""

KINDS = {
    kind.name: kind
    for kind in (
        INFERENCE_SERVICE,
        TRAINED_MODEL,
        *CHILDREN,
        POD,
        EVENT,
    )
}
"""The kinds of hosts, models, children, pods and Events, by name."""
