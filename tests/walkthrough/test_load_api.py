"""Triton's load API on the real server: it serves the agent only, and no client outside the cluster reaches it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from itertools import product
from typing import Any

from tests.support.eventually import eventually_sync
from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.things import answers, host, model, pod_of, wait_ready

LOCKED = ("/v2/trace/setting", "/v2/logging", "/v2/systemsharedmemory/region/x/register")


def post(cluster: DemoCluster, kubectl: Kubectl, path: str, key: str = "", name: str = "mms") -> tuple[int, str]:
    """Post to a host name through the gateway, as any client can, and return status and text."""
    headers = {"Host": f"{name}.{kubectl.namespace}.example.com", "Content-Type": "application/json"}
    request = urllib.request.Request(
        f"{cluster.gateway}{path}", data=b"{}", headers=headers | ({"manyserve-key": key} if key else {})
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def every_path(namespace: str) -> dict[str, Any]:
    """Return an Ingress of a user that publishes all paths of the Service, as a pod of the cluster reaches them."""
    backend = {"service": {"name": "mms", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "inside"},
        "spec": {
            "ingressClassName": "contour",
            "rules": [{"host": f"inside.{namespace}.example.com", "http": {"paths": [path]}}],
        },
    }


def test_load_api_serves_the_agent_only(cluster: DemoCluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"), every_path(kubectl.namespace))
    wait_ready(kubectl, "tm", "a")
    infer = "/v2/models/a/infer"
    eventually_sync(lambda: post(cluster, kubectl, infer, name="inside")[0] not in (404, 503), "it is routed", 60)
    for path, key in product(("models/a/load", "models/a/unload", "index"), ("", "wrong")):
        status, text = post(cluster, kubectl, f"/v2/repository/{path}", key, "inside")
        assert (status, "restricted" in text) == (403, True), path
    for path in LOCKED:
        assert post(cluster, kubectl, path, name="inside")[0] == 403, path
    assert answers(cluster, kubectl, "a")
    status, text = post(cluster, kubectl, infer)
    assert status not in (403, 404), "inference is open; this request is only not a good one"
    uid = pod_of(kubectl)["metadata"]["uid"]
    status, text = post(cluster, kubectl, "/v2/repository/index", uid, "inside")
    assert status == 200
    assert [(each["name"], each["state"]) for each in json.loads(text)] == [("a", "READY")]
    for path in ("/v2/repository/index", "/v2/models/../repository/index", "/v2/trace/setting", "/v2/logging"):
        assert post(cluster, kubectl, path, uid)[0] == 404, path
