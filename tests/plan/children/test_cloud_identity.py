"""Identity webhooks of clouds: every container but the agent is skipped, whatever the user writes."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.plan.children.pod_template import build_pod_template
from tests.support import make
from tests.support.figures import Figures

AWS = "eks.amazonaws.com/skip-containers"
AZURE = "azure.workload.identity/skip-containers"
ALIBABA = "pod-identity.alibabacloud.com/skip-containers"
INIT = [{"name": "warm-up", "image": "x"}, {"name": "beside", "image": "x", "restartPolicy": "Always"}]


def skipped(**predictor: Any) -> dict[str, str]:
    found = build_pod_template(make.host(**predictor), make.config())["metadata"]["annotations"]
    return {key: str(found[key]) for key in (AWS, AZURE, ALIBABA)}


def test_server_gets_no_identity_of_a_cloud(tenants: Figures) -> None:
    given = [each for each in skipped().values() if each != "kserve-container"]
    tenants.take("clouds that give their identity to the model server", len(given), "", exactly=0)
    assert skipped() == dict.fromkeys((AWS, AZURE, ALIBABA), "kserve-container")


def test_init_containers_get_no_identity_of_a_cloud() -> None:
    every = ["kserve-container", "warm-up", "beside"]
    assert skipped(initContainers=INIT) == {AWS: ",".join(every), AZURE: ";".join(every), ALIBABA: ",".join(every)}


@pytest.mark.parametrize("key", [AWS, AZURE, ALIBABA])
def test_user_cannot_give_the_server_an_identity(key: str) -> None:
    assert skipped(annotations={key: "agent"})[key] == "kserve-container"


def test_azure_proxy_is_left_out_and_the_label_for_the_identity_stays() -> None:
    proxy, use = "azure.workload.identity/inject-proxy-sidecar", "azure.workload.identity/use"
    host = make.host(annotations={proxy: "true"}, labels={use: "true"})
    metadata = build_pod_template(host, make.config())["metadata"]
    assert proxy not in metadata["annotations"]
    assert metadata["labels"][use] == "true"


def test_pod_template_of_a_host_with_unreadable_init_containers_is_built() -> None:
    assert skipped(initContainers=[{}, {"name": 7}])[AWS] == "kserve-container,None,7"
