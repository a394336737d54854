"""Fake KServe on the real cluster: its CRDs, webhooks and controller's Deployment, and a host that answers.

The pods of the host have the template of our operator, since the tests have no images of KServe. All other objects have
the form of KServe 0.11 and newer in the RawDeployment mode.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from manyserve.api import servingconfig
from manyserve.api.inferenceservice import InferenceService
from manyserve.api.names import HOST_LABEL, Key
from manyserve.api.trainedmodel import TrainedModel
from manyserve.cluster.clock import utc_now
from manyserve.plan.observed import Observed
from manyserve.plan.plan import plan
from tests.support import kserve_children as kserve
from tests.support.eventually import eventually_sync
from tests.support.foreign_crds import permissive_crds
from tests.support.kubectl import Kubectl, Manifest

NAMESPACE = "kserve"
CONTROLLER = "kserve-controller-manager"
SYSTEM = "manyserve-system"
BUSYBOX = "docker.io/manyserve/busybox:1"
INGRESS = {
    "ingressDomain": "example.com",
    "ingressClassName": "contour",
    "domainTemplate": "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}",
    "urlScheme": "http",
}
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SLEEPER = {
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "main", "image": BUSYBOX, "command": ["sleep", "3600"], "securityContext": _SECURITY}],
}


@dataclass
class PlayedKServe:
    """Fake KServe in the cluster, and its objects in one namespace."""

    kubectl: Kubectl
    pod_spec: Manifest

    def install(self) -> None:
        """Create KServe's CRDs, its controller's Deployment, its configuration and its release record of Helm."""
        self.kubectl("replace", "-f", "-", text=json.dumps({"kind": "List", "apiVersion": "v1", "items": crds()}))
        self.kubectl("create", "namespace", NAMESPACE)
        labels = {"control-plane": CONTROLLER}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": SLEEPER}}
        record = {"owner": "helm", "name": "kserve-crd", "status": "deployed", "version": "1"}
        for manifest in (
            named("Deployment", "apps/v1", CONTROLLER, spec=spec),
            named("ConfigMap", "v1", "inferenceservice-config", data={"ingress": json.dumps(INGRESS)}),
            named("Secret", "v1", "sh.helm.release.v1.kserve-crd.v1", labels=record, type="helm.sh/release.v1"),
        ):
            Kubectl(self.kubectl.env, NAMESPACE).apply(manifest)

    def install_webhooks(self) -> None:
        """Create the registrations of KServe's webhooks, without a server behind them."""
        host, pods = webhook("inferenceservices"), webhook("pods", HOST_LABEL)
        for kind, name, webhooks in (
            ("Mutating", "inferenceservice.serving.kserve.io", [host, pods]),
            ("Validating", "inferenceservice.serving.kserve.io", [host]),
            ("Validating", "trainedmodel.serving.kserve.io", [webhook("trainedmodels")]),
        ):
            api_version = "admissionregistration.k8s.io/v1"
            self._put(named(f"{kind}WebhookConfiguration", api_version, name, webhooks=webhooks))

    def remove_webhooks(self) -> None:
        """Delete the registrations, so that writes succeed as if KServe answered."""
        kinds = "mutatingwebhookconfiguration,validatingwebhookconfiguration"
        registrations = self.kubectl("get", kinds, "-o", "name").split()
        for name in registrations:
            if name.endswith(".serving.kserve.io"):
                self.kubectl("delete", name)

    def take(self, host: Manifest) -> None:
        """Create KServe's children of a host, and route requests to its pods when these are ready."""
        name = host["metadata"]["name"]
        for child in (kserve.deployment(host, self.pod_spec), kserve.service(host), kserve.autoscaler(host)):
            self._put(child)
        self.kubectl("rollout", "status", f"deployment/{name}-predictor", "--timeout=180s", limit=200)
        hostnames = [self.hostname(name), self.hostname(f"{name}-predictor")]
        self._put(kserve.ingress(host, *hostnames, class_name=INGRESS["ingressClassName"]))

    def _put(self, manifest: Manifest) -> None:
        """Create or replace an object, as KServe's client does."""
        exists = self.kubectl.exists(manifest["kind"], manifest["metadata"]["name"])
        self.kubectl("replace" if exists else "create", "-f", "-", text=json.dumps(manifest))

    def hostname(self, name: str) -> str:
        """Return the host name of a Service by KServe's template."""
        return f"{name}-{self.kubectl.namespace}.example.com"


def webhook(resources: str, label: str | None = None) -> Manifest:
    """Return a webhook without a server, for objects with a label or for all."""
    selector = {"objectSelector": {"matchExpressions": [{"key": label, "operator": "Exists"}]}} if label else {}
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [resources]}
    service = {"namespace": NAMESPACE, "name": "kserve-webhook-server-service"}
    return selector | {
        "name": f"{resources}.kserve-webhook-server.test",
        "clientConfig": {"service": service},
        "rules": [rule],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }


def crds() -> list[Manifest]:
    """Return CRDs like KServe's, with a conversion webhook, which KServe 0.8 has."""
    service = {"namespace": NAMESPACE, "name": "kserve-webhook-server-service", "path": "/convert"}
    webhook = {"conversionReviewVersions": ["v1beta1"], "clientConfig": {"service": service}}
    conversion = {"strategy": "Webhook", "webhook": webhook}
    return [each | {"spec": each["spec"] | {"conversion": conversion}} for each in permissive_crds()]


def named(kind: str, api_version: str, name: str, labels: dict[str, str] | None = None, **parts: Any) -> Manifest:
    """Return an object without an owner."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "labels": labels or {}}} | parts


def pod_spec_of(kubectl: Kubectl, host: Manifest, *models: Manifest) -> Manifest:
    """Return the pod spec of our operator for a host, with the configuration of the cluster."""
    config = Kubectl(kubectl.env, SYSTEM).get("configmap", "inferenceservice-config")["data"]
    observed = Observed(
        key=Key(kubectl.namespace, host["metadata"]["name"]),
        config=servingconfig.parse(config),
        host=InferenceService.from_wire(_here(kubectl, host)),
        models=tuple(TrainedModel.from_wire(_here(kubectl, each)) for each in models),
    )
    deployment = next(each for each in plan(observed, utc_now()).applies if each.manifest["kind"] == "Deployment")
    spec: Manifest = deployment.manifest["spec"]["template"]["spec"]
    return spec


def _here(kubectl: Kubectl, manifest: Manifest) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | {"namespace": kubectl.namespace, "uid": "none"}}


def installed(env: dict[str, str], *words: str) -> None:
    """Install or upgrade our chart with the values of the local cluster."""
    command = ["helm", "upgrade", "--install", "manyserve", "deploy/chart", "--namespace", SYSTEM, "--create-namespace"]
    values = ["-f", "deploy/local/values.yaml", "--wait", "--timeout", "3m"]
    subprocess.run([*command, *values, *words], env=env, check=True, capture_output=True, timeout=240)


def wait_gone(kubectl: Kubectl, *names: str) -> None:
    """Wait until the objects are deleted."""
    for name in names:
        eventually_sync(lambda name=name: not kubectl.exists(*name.split("/")), f"{name} is gone", 60)  # type: ignore[misc]
