"""Configuration of routers in the chart: the operator reads the same values, and refuses wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from webhooks.render import CHART, helm

from manyserve.api.quantity import parse_quantity
from manyserve.api.routerconfig import ENVOY_IMAGE, RouterConfig
from manyserve.api.servingconfig import ConfigError, parse
from tests.chart.rendering import the


def of_chart(*values: str) -> RouterConfig:
    return parse(the("ConfigMap", "inferenceservice-config", *values)["data"]).router


ENABLED = "config.router.enabled=true"


@pytest.mark.parametrize("values", [(), ("config.router.image=example/own:1",), ("config.router=null",)])
def test_router_has_no_image_until_it_is_enabled(values: tuple[str, ...]) -> None:
    assert of_chart(*values).image is None


def test_router_values_are_the_defaults_of_the_code() -> None:
    given = of_chart(ENABLED)
    assert given.image == "manyserve/manyserve:0.1.0"
    assert given.envoy_image == ENVOY_IMAGE
    assert given == RouterConfig(image=given.image, image_pull_policy="IfNotPresent")


def test_router_values_reach_the_operator() -> None:
    values = ("replicas=3", "image=example/own:1", "maxRequestBytes=1Gi")
    given = of_chart(ENABLED, *(f"config.router.{each}" for each in values))
    assert (given.replicas, given.image, given.max_request_bytes) == (3, "example/own:1", "1Gi")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("replicas", 0), ("replicas", 11), ("concurrency", 0)),
        *(("maxRequestBytes", "0"), ("maxRequestBytes", "much"), ("maxRequestBytes", "4Gi")),
    ],
)
def test_router_configuration_refuses_a_wrong_value(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"router\.{field}"):
        parse({"router": json.dumps({field: value})})


@pytest.mark.parametrize("given", ["0.5", "1.5e3", "250000000", "500m", "2.5Gi"])
@pytest.mark.parametrize("section", ["agent", "router"])
def test_quantity_in_the_values_reaches_the_operator(section: str, given: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(f"config: {{{section}: {{cpuRequest: {given}, memoryRequest: {given}}}}}")
    template = ("template", "x", str(CHART), "--show-only", "templates/inferenceservice-config.yaml")
    data = yaml.safe_load(helm(*template, "--values", str(file)))["data"]
    config = getattr(parse(data), section)
    assert parse_quantity(config.cpu_request) == parse_quantity(given) == parse_quantity(config.memory_request)
