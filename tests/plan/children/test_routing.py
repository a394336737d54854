"""Ingress and HTTPRoute of a host, and their readiness."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.inferenceservice import CUSTOM
from manyserve.plan.children.routing import (
    build_http_route,
    build_ingress,
    host_url,
    http_route_error,
    ingress_error,
    model_path,
)
from manyserve.plan.rules.validation import host_problems
from manyserve.plan.servers.launch import ServerKind
from manyserve.plan.servers.registry import SERVERS
from manyserve.plan.visibility import VISIBILITY_LABELS
from tests.support import make
from tests.support.figures import Figures


def built(**ingress: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    config = make.config(ingress=ingress)
    return build_ingress(make.host(), config), build_http_route(make.host(), config)


def test_ingress_is_the_default_and_has_the_configured_class() -> None:
    ingress, route = built(ingressClassName="contour", ingressDomain="models.example.org")
    assert ingress
    assert route is None
    assert ingress["spec"]["ingressClassName"] == "contour"
    assert ingress["spec"]["rules"][0]["host"] == "triton-mms.default.models.example.org"


def test_http_route_replaces_the_ingress_when_a_gateway_is_configured() -> None:
    ingress, route = built(gateway="infra/public", domainTemplate="{{ .Name }}-{{.Namespace}}.{{ .IngressDomain }}")
    assert ingress is None
    assert route
    assert route["spec"]["parentRefs"] == [{"namespace": "infra", "name": "public"}]
    assert route["spec"]["hostnames"] == ["triton-mms-default.example.com"]


V2 = [("/v2", "Exact"), ("/v2/health", "Prefix"), ("/v2/models", "Prefix")]
V1 = [("/", "Exact"), ("/v1/models", "Prefix")]


@pytest.mark.parametrize(
    ("predictor", "expected"),
    [
        ({"triton": {}}, V2),
        ({"sklearn": {"protocolVersion": "v2"}}, V2),
        ({"sklearn": {}}, V1),
        ({"xgboost": {"protocolVersion": "v1"}}, V1),
        ({"containers": [{"name": "mine", "image": "mine:1"}]}, [("/", "Prefix")]),
    ],
    ids=["triton", "mlserver", "sklearn", "xgboost", "containers"],
)
def test_routing_publishes_inference_metadata_and_health_only(
    predictor: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    host = make.host(**({"triton": None} | predictor))
    ingress = build_ingress(host, make.config())
    route = build_http_route(host, make.config(ingress={"gateway": "infra/public"}))
    assert ingress
    assert route
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    assert [(each["path"], each["pathType"]) for each in paths] == expected
    assert all(each["backend"]["service"] == {"name": "triton-mms", "port": {"number": 80}} for each in paths)
    (rule,) = route["spec"]["rules"]
    matches = [(each["path"]["value"], each["path"]["type"].removeprefix("Path")) for each in rule["matches"]]
    assert matches == expected


@pytest.mark.parametrize("kind", SERVERS.values(), ids=SERVERS)
def test_routing_publishes_no_load_api_and_the_path_of_each_model(kind: ServerKind, tenants: Figures) -> None:
    def is_public(request: str) -> bool:
        return any(
            request == path.text or (path.prefix and request.startswith(f"{path.text.rstrip('/')}/"))
            for path in kind.public
        )

    for protocol in kind.protocols:
        assert is_public(model_path("a", protocol).replace(":predict", "/predict"))
    load_api = (
        "/v2/repository/index",
        "/v2/repository/models/a/load",
        "/v2/trace/setting",
        "/v2/logging",
        "/v2/models-x",
    )
    published = [path for path in load_api if is_public(path)] if kind.predictors != (CUSTOM,) else []
    tenants.take("paths of load APIs that are published", len(published), "paths", exactly=0)
    assert not published


def test_routing_has_no_object_when_ingress_creation_is_disabled() -> None:
    assert built(gateway="infra/public", disableIngressCreation=True) == (None, None)


@pytest.mark.parametrize("label", VISIBILITY_LABELS)
@pytest.mark.parametrize("ingress", [{}, {"gateway": "infra/public"}], ids=["ingress", "route"])
def test_routing_of_cluster_local_host_has_no_object_and_the_internal_url(label: str, ingress: dict[str, Any]) -> None:
    host = make.labelled_host({label: "cluster-local"})
    config = make.config(ingress=ingress)
    assert build_ingress(host, config) is None
    assert build_http_route(host, config) is None
    assert host_url(host, config.ingress) == "http://triton-mms.default.svc.cluster.local"


def test_routing_is_cluster_local_with_the_domain_of_the_cluster() -> None:
    assert built(ingressDomain="svc.cluster.local") == (None, None)
    config = make.config(ingress={"ingressDomain": "svc.cluster.local", "urlScheme": "https"})
    assert host_url(make.host(), config.ingress) == "http://triton-mms.default.svc.cluster.local"


def test_routing_exposes_host_with_the_label_of_openshift_ai() -> None:
    assert build_ingress(make.labelled_host({"networking.kserve.io/visibility": "exposed"}), make.config())


def test_http_route_is_ready_when_its_gateway_accepted_it() -> None:
    def route_with(status: str) -> dict[str, Any]:
        accepted = {"type": "Accepted", "status": status, "message": "no such listener"}
        return {"status": {"parents": [{"conditions": [accepted]}]}}

    assert http_route_error(route_with("True")) is None
    assert http_route_error(route_with("False")) == "the Gateway refused the HTTPRoute: no such listener"
    message = http_route_error({"spec": {"parentRefs": [{"namespace": "infra", "name": "public"}]}})
    assert message == (
        "no Gateway has accepted the HTTPRoute yet; it needs the Gateway infra/public and a controller for it, or "
        "ingress.disableIngressCreation: true in inferenceservice-config, if all requests come from inside the cluster"
    )
    assert http_route_error({})


def test_ingress_is_ready_when_it_has_an_address() -> None:
    waiting = {"spec": {"ingressClassName": "contour"}}
    message = (
        "no ingress controller has given the Ingress an address yet (class: contour); it needs a controller for that "
        "class, or ingress.disableIngressCreation: true in inferenceservice-config, if all requests come from inside "
        "the cluster"
    )
    assert ingress_error(waiting) == message
    assert ingress_error(waiting | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}) is None


@pytest.mark.parametrize("label", VISIBILITY_LABELS)
def test_visibility_of_the_predictor_keeps_the_host_inside_the_cluster(label: str) -> None:
    own = make.labelled_host({label: "exposed"}, {}, labels={label: "cluster-local"})
    assert build_ingress(own, make.config()) is None
    (problem,) = host_problems(make.labelled({}, labels={label: "private"}))
    assert problem.path == f"spec.predictor.labels[{label}]"
