"""Models that cannot be loaded: one that ends the server during its load, and an ensemble without a step."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.eventually import eventually_sync
from tests.support.figures import Figures
from tests.support.kubectl import Kubectl, Manifest, condition
from tests.walkthrough.attack import RATE, gateway_attack, lost
from tests.walkthrough.cluster import DemoCluster
from tests.walkthrough.conftest import FIELD_LONG
from tests.walkthrough.python_models import KILL_SERVER, TENSOR, infer, upload_ensemble, upload_model
from tests.walkthrough.things import answers, host, model, pod_of, wait_not_ready, wait_ready

WATCHED_SECONDS = 900
"""Length of the long form, from the declaration of the model that ends the server."""
MOST_ENDS = 3 if FIELD_LONG else 2
ENDED = "the server ended while it was loaded, 2 times"


def test_model_that_ends_the_server_is_quarantined_and_the_others_answer(
    cluster: DemoCluster, kubectl: Kubectl, field: Figures, tmp_path: Path
) -> None:
    good, bad = (
        model(name, uri=upload_model(cluster, kubectl, name, code), framework="python")
        for name, code in (("good", "pass"), ("bad", KILL_SERVER))
    )
    kubectl.apply(host(), good)
    wait_ready(kubectl, "tm", "good")
    with gateway_attack(cluster, kubectl, "good", TENSOR, tmp_path) as report:
        end = time.monotonic() + WATCHED_SECONDS
        kubectl.apply(bad)
        eventually_sync(lambda: ENDED in _message(kubectl, "bad"), "the model is in quarantine", 120, 0.5)
        eventually_sync(lambda: answers(cluster, kubectl, "good"), "the other model answers again", 60)
        if FIELD_LONG:
            eventually_sync(lambda: time.monotonic() > end, "the time is over", WATCHED_SECONDS, 1)
    unanswered = 100 * lost(report) / report["requests"]
    peer = f"of {report['requests']} at {RATE}/s, {report['duration'] / 1e9:.0f} s"
    name = "model that ends the server: lost requests to another model"
    field.take(name, unanswered, "%", below=5 if FIELD_LONG else None, peer=peer)
    wait_ready(kubectl, "tm", "good")
    assert infer(cluster, kubectl, "good") == (200, [10])
    ends = _server(kubectl)["restartCount"]
    field.take("model that ends the server: ends of the server", ends, "", below=MOST_ENDS + 1)
    assert 2 <= ends <= MOST_ENDS
    assert condition(kubectl.get("tm", "bad"))["reason"] == "LoadFailed"
    assert unanswered < 5 or not FIELD_LONG


def test_ensemble_names_a_deleted_step_and_returns_with_it(cluster: DemoCluster, kubectl: Kubectl) -> None:
    steps = [model(name, uri=upload_model(cluster, kubectl, name), framework="python") for name in ("pre", "post")]
    uri = upload_ensemble(cluster, kubectl, "both", "pre", "post")
    kubectl.apply(host(), *steps, model("both", uri=uri, framework="python"))
    wait_ready(kubectl, "tm", "both")
    assert infer(cluster, kubectl, "both") == (200, [20])

    kubectl("delete", "tm", "post")
    failed = wait_not_ready(kubectl, "tm", "both", "LoadFailed")
    assert "its step post is not a TrainedModel of this host" in failed["message"]
    for name in ("post", "both"):
        eventually_sync(lambda name=name: infer(cluster, kubectl, name)[0] in (400, 404), f"{name} is unloaded", 30)  # type: ignore[misc]
    assert infer(cluster, kubectl, "pre") == (200, [10])

    kubectl.apply(steps[1])
    wait_ready(kubectl, "tm", "both")
    assert infer(cluster, kubectl, "both") == (200, [20])
    log = kubectl("logs", pod_of(kubectl)["metadata"]["name"], "-c", "agent")
    # Triton may load an ensemble by itself when its step returns.
    assert 1 <= log.count("Successfully loaded model both") <= 2
    assert log.count("Successfully loaded model pre") == 1


def _message(kubectl: Kubectl, name: str) -> str:
    return str(condition(kubectl.get("tm", name)).get("message", ""))


def _server(kubectl: Kubectl) -> Manifest:
    """Return the status of the server's container."""
    statuses = pod_of(kubectl)["status"]["containerStatuses"]
    server: Manifest = next(each for each in statuses if each["name"] == "kserve-container")
    return server
