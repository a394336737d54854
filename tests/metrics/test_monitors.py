"""ServiceMonitors and PodMonitors: their selectors, labels and ports, and that nothing is made by default."""

from __future__ import annotations

import pytest

from manyserve.api import names
from manyserve.api.names import selector
from manyserve.api.routerenv import ROUTER_PORT
from manyserve.plan.children.router_pod import build_router_template
from tests.chart.rendering import objects, the
from tests.metrics.scene import ENABLED
from tests.support import make
from tests.tenants.agent_process import container

POD_MONITOR, ROUTERS = "manyserve-hosts", "manyserve-routers"


def test_nothing_for_monitoring_is_made_by_default() -> None:
    kinds = {each["kind"] for each in objects()}
    assert not kinds & {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert not any(each["metadata"]["name"].endswith("-dashboards") for each in objects())


def test_pod_monitor_selects_the_pods_of_hosts_in_the_scope() -> None:
    monitor = the("PodMonitor", "manyserve-hosts", "monitoring.podMonitor.enabled=true")
    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    scoped = the("PodMonitor", "manyserve-hosts", "monitoring.podMonitor.enabled=true", "scope.namespaces={a,b}")
    assert scoped["spec"]["namespaceSelector"] == {"matchNames": ["a", "b"]}
    assert [each["port"] for each in scoped["spec"]["podMetricsEndpoints"]] == ["agent"]


def test_pod_monitor_of_routers_selects_the_labels_and_the_port_of_a_router() -> None:
    spec = the("PodMonitor", ROUTERS, *ENABLED, "scope.namespaces={a,b}")["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["a", "b"]}
    template = build_router_template(make.host(), make.config())
    labels = template["metadata"]["labels"]
    for each in spec["selector"]["matchExpressions"]:
        assert labels[each["key"]] in each.get("values", labels.values())
    assert not {names.PREDICTOR} & {
        value for each in spec["selector"]["matchExpressions"] for value in each.get("values", ())
    }
    (endpoint,) = spec["podMetricsEndpoints"]
    ports = {each["name"]: each["containerPort"] for one in template["spec"]["containers"] for each in one["ports"]}
    assert (ports[endpoint["port"]], endpoint["path"]) == (ROUTER_PORT, "/metrics")


def test_pod_monitor_selects_the_labels_and_the_port_of_a_pod_with_an_agent() -> None:
    spec = the("PodMonitor", POD_MONITOR, *ENABLED)["spec"]
    labels = selector("h")
    for each in spec["selector"]["matchExpressions"]:
        assert labels[each["key"]] in each.get("values", labels.values())
    assert spec["podTargetLabels"] == ["serving.kserve.io/inferenceservice"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in [each["name"] for each in container()["ports"]]


@pytest.mark.parametrize("name", ["manyserve-operator", "manyserve-webhook"])
def test_service_monitor_selects_its_service_alone(name: str) -> None:
    monitor = the("ServiceMonitor", name, *ENABLED)
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [each for each in objects(*ENABLED) if each["kind"] == "Service"]
    (service,) = (each for each in services if wanted <= each["metadata"]["labels"].items())
    assert service["metadata"]["name"] == name
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [each["name"] for each in service["spec"]["ports"]]


def test_monitors_have_the_labels_and_the_interval_of_the_values() -> None:
    values = ("labels.release=mine", "interval=15s")
    for kind, name, section in (
        ("ServiceMonitor", "manyserve-operator", "serviceMonitor"),
        ("ServiceMonitor", "manyserve-webhook", "serviceMonitor"),
        ("PodMonitor", POD_MONITOR, "podMonitor"),
        ("PodMonitor", ROUTERS, "podMonitor"),
    ):
        monitor = the(kind, name, *ENABLED, *(f"monitoring.{section}.{each}" for each in values))
        assert monitor["metadata"]["labels"]["release"] == "mine"
        endpoints = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        assert [each["interval"] for each in endpoints] == ["15s"]


def test_model_servers_are_scraped_by_a_value_of_their_own() -> None:
    monitor = the("PodMonitor", POD_MONITOR, *ENABLED, "monitoring.podMonitor.modelServers=true")
    assert [each["port"] for each in monitor["spec"]["podMetricsEndpoints"]] == ["agent", "metrics"]
