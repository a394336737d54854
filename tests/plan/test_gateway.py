"""How a host is reached from outside: an Ingress, an HTTPRoute where a Gateway is configured, or neither."""

from __future__ import annotations

from typing import Any

from manyserve.plan.children.http_route import build_http_route, why_route_not_ready
from manyserve.plan.children.ingress import build_ingress, why_ingress_not_ready
from tests.support import make


def built(**ingress: Any) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    config = make.config(ingress=ingress)
    return build_ingress(make.host(), config), build_http_route(make.host(), config)


def test_by_default_there_is_an_ingress_of_the_configured_class() -> None:
    ingress, route = built(ingressClassName="contour", ingressDomain="models.example.org")
    assert ingress
    assert route is None
    assert ingress["spec"]["ingressClassName"] == "contour"
    assert ingress["spec"]["rules"][0]["host"] == "triton-mms.default.models.example.org"


def test_where_a_gateway_is_named_there_is_a_route_to_it_and_no_ingress() -> None:
    ingress, route = built(gateway="infra/public", domainTemplate="{{ .Name }}-{{.Namespace}}.{{ .IngressDomain }}")
    assert ingress is None
    assert route
    assert route["spec"]["parentRefs"] == [{"namespace": "infra", "name": "public"}]
    assert route["spec"]["hostnames"] == ["triton-mms-default.example.com"]


def test_switched_off_there_is_neither() -> None:
    assert built(gateway="infra/public", disableIngressCreation=True) == (None, None)


def test_a_route_is_ready_when_its_gateway_has_accepted_it() -> None:
    def said(status: str) -> dict[str, Any]:
        accepted = {"type": "Accepted", "status": status, "message": "no such listener"}
        return {"status": {"parents": [{"conditions": [accepted]}]}}

    assert why_route_not_ready(said("True")) is None
    assert why_route_not_ready(said("False")) == "the Gateway refused the HTTPRoute: no such listener"
    assert why_route_not_ready({}) == "no Gateway has accepted the HTTPRoute yet"


def test_an_ingress_is_ready_when_a_controller_has_given_it_an_address() -> None:
    waiting = {"spec": {"ingressClassName": "contour"}}
    said = "no ingress controller has given the Ingress an address yet (class: contour)"
    assert why_ingress_not_ready(waiting) == said
    assert why_ingress_not_ready(waiting | {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}) is None
