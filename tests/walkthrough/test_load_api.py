"""Triton's load API on the real server: it serves the agent only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from itertools import product

from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import answers, host, model, pod_of, wait_ready


def post(cluster: DemoCluster, kubectl: Kubectl, path: str, key: str = "") -> tuple[int, str]:
    """Post to the host through the gateway, as any client can, and return status and text."""
    headers = {"Host": f"mms.{kubectl.namespace}.example.com", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{cluster.gateway}{path}", data=b"{}", headers=headers | ({"manyserve-key": key} if key else {})
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_load_api_serves_the_agent_only(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    for path, key in product(("models/a/load", "models/a/unload", "index"), ("", "wrong")):
        status, text = post(cluster, kubectl, f"/v2/repository/{path}", key)
        assert (status, "restricted" in text) == (403, True), path
    assert answers(cluster, kubectl, "a")
    status, text = post(cluster, kubectl, "/v2/models/a/infer")
    assert status != 403, "inference is open; this request is only not a good one"
    uid = pod_of(kubectl)["metadata"]["uid"]
    status, text = post(cluster, kubectl, "/v2/repository/index", uid)
    assert status == 200
    assert [(each["name"], each["state"]) for each in json.loads(text)] == [("a", "READY")]
