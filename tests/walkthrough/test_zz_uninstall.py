"""The last test: `helm uninstall` takes our parts away and leaves the users' objects and models alone."""

from __future__ import annotations

import subprocess

from tests.support.kubectl import Kubectl
from tests.walkthrough.cluster import Cluster
from tests.walkthrough.things import answers, host, model, wait_ready


def test_uninstalling_leaves_the_users_objects_and_their_models_alone(cluster: Cluster, kubectl: Kubectl) -> None:
    kubectl.apply(host(), model("a"))
    wait_ready(kubectl, "tm", "a")
    words = ["helm", "uninstall", "manyserve", "--namespace", "manyserve-system", "--wait"]
    subprocess.run(words, env=cluster.env, check=True, capture_output=True, timeout=120)
    system = Kubectl(cluster.env, "manyserve-system")
    assert system.list("deployment") == []
    assert kubectl.exists("isvc", "mms")
    assert kubectl.exists("tm", "a")
    assert answers(cluster, kubectl, "a")
    kubectl("delete", "isvc", "mms")
