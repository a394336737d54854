"""Objects that helm renders from the chart, with different values."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from webhooks.render import CHART, helm

Manifest = dict[str, Any]

VARIANTS = (
    (),
    ("webhook.certificate.certManager.enabled=true",),
    ("webhook.certificate.existingSecret=mine", "webhook.certificate.caBundle=LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"),
    ("networkPolicy.enabled=true", "gateway.enabled=true", "config.ingress.gateway=infra/gateway"),
    ("webhook.enabled=false", "crds.install=false", "rbac.aggregate=false"),
    ("scope.namespaces={team-a,team-b}", "fullnameOverride=other"),
    ("scope.namespaceSelector.matchLabels.serve=yes",),
    ("config.hosts.networkPolicy.enabled=true", "scope.namespaces={team-a,team-b}"),
    ("api.group=serving.manyserve.io",),
    (
        "monitoring.serviceMonitor.enabled=true",
        "monitoring.podMonitor.enabled=true",
        "monitoring.prometheusRule.enabled=true",
        "monitoring.dashboards.enabled=true",
    ),
    (
        "global.imageRegistry=r.example/mirror",
        "global.imagePullSecrets={pull,other}",
        "commonLabels.team=a",
        "operator.podLabels.mesh=off",
        "webhook.podLabels.mesh=on",
        "operator.serviceAccount.name=own",
        "webhook.serviceAccount.create=false",
        "webhook.serviceAccount.name=given",
        "revisionHistoryLimit=0",
        "webhook.port=10443",
        "webhook.metricsPort=10090",
    ),
    ("webhook.replicas=1", "fullnameOverride=other", "imagePullSecrets[0].name=pull", "operator.nodeSelector.a=b"),
)


@cache
def text(*values: str) -> str:
    """Return the manifests that helm prints."""
    settings = [part for value in values for part in ("--set", value)]
    return helm("template", "manyserve", str(CHART), "--namespace", "manyserve-system", "--skip-tests", *settings)


def objects(*values: str) -> list[Manifest]:
    """Return all objects."""
    return [each for each in yaml.safe_load_all(text(*values)) if each]


def the(kind: str, name: str, *values: str) -> Manifest:
    """Return the object of this kind and name."""
    (manifest,) = (each for each in objects(*values) if each["kind"] == kind and each["metadata"]["name"] == name)
    return manifest


def pods(*values: str) -> list[tuple[str, Manifest]]:
    """Return the name and the pod spec of each Deployment."""
    deployments = (each for each in objects(*values) if each["kind"] == "Deployment")
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in deployments]


def environment(pod: Manifest) -> dict[str, str]:
    """Return the environment of the pod's only container, with its namespace filled in."""
    (container,) = pod["containers"]
    return {each["name"]: each.get("value", "manyserve-system") for each in container["env"]}
