"""Registry of model servers: kinds, dialects, configurations and URL paths by protocol."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.agent.servers import DIALECTS
from manyserve.api import conditions
from manyserve.api.inferenceservice import PROTOCOLS, PredictorSpec
from manyserve.api.names import Key
from manyserve.plan.capacity import framework_error, multi_model_error
from manyserve.plan.children.routing import model_path
from manyserve.plan.observed import Observed
from manyserve.plan.servers.registry import SERVERS, server_kind
from tests.plan.servers.launched import (
    MULTI_MODEL,
    OWN_V1,
    PROBES,
    config,
    containers,
    env,
    host,
    variants,
)
from tests.support import make, world

pytestmark = pytest.mark.usefixtures("both_forms")


def test_custom_server_has_the_probes_of_its_protocol() -> None:
    server, agent = containers(host(containers=OWN_V1))
    assert {server[probe]["httpGet"]["path"] for probe in PROBES} == {"/"}
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v1"
    server, agent = containers(host(containers=[OWN_V1[0] | {"env": [MULTI_MODEL]}]))
    assert [server[probe]["httpGet"]["path"] for probe in PROBES] == ["/v2/health/live"] * 2 + ["/v2/health/ready"]
    assert env(agent)["MANYSERVE_SERVER_DIALECT"] == "v2"


@pytest.mark.parametrize(
    ("predictor", "dialect", "path"),
    [
        ({"sklearn": {}}, "v1", "/v1/models/m:predict"),
        ({"sklearn": {"protocolVersion": "v2"}}, "mlserver", "/v2/models/m/infer"),
        ({"triton": {}}, "v2", "/v2/models/m/infer"),
        ({"containers": [{"image": "own"}]}, "v2", "/v2/models/m/infer"),
        (
            {"containers": [{"image": "own", "env": [{"name": "PROTOCOL", "value": "v1"}]}]},
            "v1",
            "/v1/models/m:predict",
        ),
    ],
)
def test_model_path_follows_the_protocol_of_the_server(predictor: dict[str, Any], dialect: str, path: str) -> None:
    server_host = host(**predictor)
    assert server_kind(server_host.spec.predictor).dialect == dialect
    assert model_path("m", server_host.spec.predictor.protocol) == path


@pytest.mark.parametrize(("protocol", "path"), [("v1", "/v1/models/iris:predict"), ("v2", "/v2/models/iris/infer")])
def test_sklearn_model_becomes_ready_with_the_url_of_its_protocol(protocol: str, path: str) -> None:
    server_host = host(sklearn={"protocolVersion": protocol})
    model = make.model("iris", framework="sklearn")
    key = Key("default", "triton-mms")
    settled = world.settle(
        Observed(key=key, config=config(), host=server_host, models=(model,), pods=(make.pod(),))
    ).models[0]
    assert settled.status.url == f"http://triton-mms.default.example.com{path}"
    ready = conditions.find(settled.status.conditions, conditions.READY)
    assert ready is not None
    assert ready.status == "True"


def test_predictor_configuration_is_separate_for_each_protocol() -> None:
    configured = variants("sklearn")
    configured["v2"] |= {"multiModelServer": False, "supportedFrameworks": ["other"]}
    configured_both = make.config(predictors={"sklearn": configured})
    assert multi_model_error(host(sklearn={}), configured_both) is None
    assert framework_error(host(sklearn={}), "sklearn", configured_both) is None
    v2 = host(sklearn={"protocolVersion": "v2"})
    assert "predictors.sklearn.v2.multiModelServer" in (multi_model_error(v2, configured_both) or "")
    assert "runs sklearn.v2, which does not support framework sklearn; it supports: other" in (
        framework_error(v2, "sklearn", configured_both) or ""
    )


def test_predictor_configuration_without_protocols_is_that_of_v1() -> None:
    flat = make.config(predictors={"lightgbm": variants("lightgbm")["v1"]})
    assert containers(host(lightgbm={}), flat)[0]["image"] == "kserve/lightgbmserver:v1"
    assert multi_model_error(host(lightgbm={"protocolVersion": "v2"}), flat) is not None


def test_server_registry_has_one_kind_for_each_protocol_of_each_predictor() -> None:
    kinds = [(name, protocol) for kind in SERVERS.values() for name in kind.predictors for protocol in kind.protocols]
    assert sorted(kinds) == sorted((name, protocol) for name, protocols in PROTOCOLS.items() for protocol in protocols)


def test_server_registry_names_dialects_that_the_agent_has() -> None:
    assert {kind.dialect for kind in SERVERS.values()} == DIALECTS.keys()


def test_predictors_with_protocols_are_fields_of_the_spec() -> None:
    assert PROTOCOLS.keys() <= PredictorSpec.model_fields.keys()


def test_server_kind_falls_back_to_the_default_protocol() -> None:
    assert server_kind(host(triton={"protocolVersion": "v1"}).spec.predictor) is SERVERS["triton"]
