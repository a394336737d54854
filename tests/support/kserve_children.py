"""Objects as KServe 0.8 and newer leaves them: finalizers, annotations, owner references, children and their names."""

from __future__ import annotations

import json
from typing import Any

from manyserve.plan.management import DEPLOYMENT_MODE, HOST_FINALIZERS, MODEL_FINALIZERS

Manifest = dict[str, Any]
MANAGED_METADATA = {"finalizers": [HOST_FINALIZERS[0]], "annotations": {DEPLOYMENT_MODE: "RawDeployment"}}


def kept_by_kserve(host: Manifest) -> Manifest:
    """Return an InferenceService with KServe's marks."""
    return host | {"metadata": {"name": host["metadata"]["name"]} | MANAGED_METADATA}


def kept_model(model: Manifest) -> Manifest:
    """Return a TrainedModel with KServe's finalizer and label."""
    metadata = {
        "name": model["metadata"]["name"],
        "finalizers": list(MODEL_FINALIZERS),
        "labels": {"inferenceservice": model["spec"]["inferenceService"]},
    }
    return model | {"metadata": metadata}


def owned(host: Manifest, kind: str, api_version: str, name: str, **parts: Any) -> Manifest:
    """Return a child as KServe creates it: controlled by the InferenceService, without manyserve's labels."""
    owner = {
        "apiVersion": host["apiVersion"],
        "kind": host["kind"],
        "name": host["metadata"]["name"],
        "uid": host["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "ownerReferences": [owner]}} | parts


def pod_labels(host: str, deployment: str) -> dict[str, str]:
    """Return the labels of the pods of a Deployment; the first one is that of its selector and its Service."""
    return {"app": f"isvc.{deployment}", "serving.kserve.io/inferenceservice": host, "component": "predictor"}


def deployment(host: Manifest, pod_spec: Manifest, name: str = "") -> Manifest:
    """Return the Deployment of a host: `H-predictor` since 0.11, `H-predictor-default` before."""
    own = host["metadata"]["name"]
    name = name or f"{own}-predictor"
    labels = pod_labels(own, name)
    spec = {
        "selector": {"matchLabels": {"app": labels["app"]}},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec},
    }
    manifest = owned(host, "Deployment", "apps/v1", name, spec=spec)
    return manifest | {"metadata": manifest["metadata"] | {"labels": labels}}


def service(host: Manifest, name: str = "", **spec: Any) -> Manifest:
    """Return the Service of a host's Deployment, or a Service of the given name."""
    own = host["metadata"]["name"]
    ports = [{"name": f"{own}-predictor", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    whole = {"selector": {"app": f"isvc.{own}-predictor"}, "ports": ports} | spec
    return owned(host, "Service", "v1", name or f"{own}-predictor", spec=whole)


def alias(host: Manifest) -> Manifest:
    """Return the Service `H` of the Knative mode, an alias of the gateway."""
    spec = {"type": "ExternalName", "externalName": "knative-local-gateway.istio-system.svc.cluster.local"}
    return owned(host, "Service", "v1", host["metadata"]["name"], spec=spec)


def ingress(host: Manifest, *hostnames: str, class_name: str | None = None) -> Manifest:
    """Return the Ingress of a host: each host name leads to the Service of its Deployment."""
    own = host["metadata"]["name"]
    backend = {"service": {"name": f"{own}-predictor", "port": {"number": 80}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    rules = [{"host": each, "http": {"paths": paths}} for each in hostnames]
    chosen = {"ingressClassName": class_name} if class_name else {}
    return owned(host, "Ingress", "networking.k8s.io/v1", own, spec=chosen | {"rules": rules})


def autoscaler(host: Manifest, name: str = "") -> Manifest:
    """Return the HorizontalPodAutoscaler of a host's Deployment, which has the same name."""
    name = name or f"{host['metadata']['name']}-predictor"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    metrics = [{"type": "Resource", "resource": cpu}]
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 1, "metrics": metrics}
    return owned(host, "HorizontalPodAutoscaler", "autoscaling/v2", name, spec=spec)


def model_config(host: Manifest, *models: Manifest) -> Manifest:
    """Return the ConfigMap of the agents' models, with the keys in KServe's order."""
    entries = [
        {
            "modelName": each["metadata"]["name"],
            "modelSpec": {name: each["spec"]["model"][name] for name in ("storageUri", "framework", "memory")},
        }
        for each in models
    ]
    data = {"models.json": json.dumps(entries, separators=(",", ":"))}
    return owned(host, "ConfigMap", "v1", f"modelconfig-{host['metadata']['name']}-0", data=data)
