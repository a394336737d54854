"""Objects for the Prometheus Operator: a real API server with its CRDs accepts them, without an unknown field.

The CRDs come from the operator's Go module at the time of the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from localcluster.paths import Cluster
from tests.chart.rendering import objects, the
from tests.support.control_plane import environment
from tests.support.go_module import folder_of
from tests.support.kubectl import Kubectl, Manifest, Refused

MODULE, VERSION = "github.com/prometheus-operator/prometheus-operator", "v0.85.0"
SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
GROUP = "monitoring.coreos.com"
PLURALS = {"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
CRDS = "example/prometheus-operator-crd"
ENABLED = tuple(f"monitoring.{each}.enabled=true" for each in ("serviceMonitor", "podMonitor", "prometheusRule"))
LABELLED = tuple(
    f"monitoring.{each}.labels.release=mine" for each in ("serviceMonitor", "podMonitor", "prometheusRule")
)
CASES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "own group": ("api.group=serving.manyserve.io", "fullnameOverride=other"),
    "list of namespaces": ("scope.namespaces={a,b}",),
    "without the webhook": ("webhook.enabled=false",),
    "every value": (
        *LABELLED,
        "monitoring.serviceMonitor.interval=15s",
        "monitoring.podMonitor.interval=1m30s",
        "monitoring.podMonitor.modelServers=true",
        "commonLabels.team=a",
    ),
}


@pytest.fixture(scope="module")
def monitored(api_server: Cluster) -> Iterator[None]:
    """Install the CRDs of the three kinds, and remove them at the end."""
    kubectl = Kubectl(environment(api_server))
    folder = folder_of(MODULE, VERSION, SUM) / CRDS
    names = [f"crd/{plural}.{GROUP}" for plural in PLURALS.values()]
    for plural in PLURALS.values():
        kubectl("apply", "--server-side", "-f", str(folder / f"{GROUP}_{plural}.yaml"))
    kubectl("wait", "--for=condition=Established", *names)
    yield
    kubectl("delete", *names)


def rendered(*values: str) -> list[Manifest]:
    """Return the objects of the three kinds."""
    return [each for each in objects(*ENABLED, *values) if each["apiVersion"].startswith(f"{GROUP}/")]


def apply(kubectl: Kubectl, manifest: Manifest) -> None:
    """Apply an object. The API server refuses a field that its schema does not have."""
    moved = manifest | {"metadata": manifest["metadata"] | {"namespace": kubectl.namespace}}
    kubectl("apply", "--server-side", "--validate=strict", "-f", "-", text=json.dumps(moved))


@pytest.mark.usefixtures("monitored")
@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_api_server_accepts_the_monitors_and_the_rule_without_an_unknown_field(
    kubectl: Kubectl, values: tuple[str, ...]
) -> None:
    manifests = rendered(*values)
    assert {each["kind"] for each in manifests} == set(PLURALS)
    for manifest in manifests:
        apply(kubectl, manifest)


@pytest.mark.usefixtures("monitored")
def test_api_server_refuses_a_misspelt_field_and_an_invalid_interval_of_a_monitor(kubectl: Kubectl) -> None:
    monitor = the("ServiceMonitor", "manyserve-operator", *ENABLED)
    (endpoint,) = monitor["spec"]["endpoints"]
    for changed, sentence in (
        ({"pth": "/metrics"}, "endpoints[0].pth"),
        ({"interval": "soon"}, "endpoints[0].interval"),
    ):
        with pytest.raises(Refused) as refused:
            apply(kubectl, monitor | {"spec": monitor["spec"] | {"endpoints": [endpoint | changed]}})
        assert sentence in str(refused.value)
