"""Verdicts of `manyserve check`: each problem is one sentence, and success has none."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import PART_OF
from manyserve.check.verdicts import deployment_problem, owner_problem, review_problem
from manyserve.cluster.errors import ClusterError, Forbidden

READY = {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 2}
DENIED = 'admission webhook "validate.serving.kserve.io" denied the request: spec.model.storageUri is not allowed'


def deployment(status: dict[str, Any], replicas: int = 2) -> dict[str, Any]:
    metadata = {"namespace": "s", "name": "operator", "generation": 2}
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": status}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (READY, None),
        (READY | {"readyReplicas": 3}, None),
        (READY | {"replicas": 2}, None),
        (READY | {"replicas": 3}, "the Deployment s/operator still has 1 pod of an earlier change"),
        (READY | {"replicas": 4}, "the Deployment s/operator still has 2 pods of an earlier change"),
        ({}, "the Deployment s/operator has a change that Kubernetes has not acted on yet"),
        (
            READY | {"observedGeneration": 1},
            "the Deployment s/operator has a change that Kubernetes has not acted on yet",
        ),
        ({"observedGeneration": 2}, "the Deployment s/operator has 0 of 2 pods ready; kubectl describe says why"),
        (READY | {"readyReplicas": 1}, "the Deployment s/operator has 1 of 2 pods ready; kubectl describe says why"),
        (READY | {"updatedReplicas": 1}, "the Deployment s/operator has 1 of 2 pods ready; kubectl describe says why"),
    ],
)
def test_deployment_verdict_counts_the_ready_pods_of_the_last_change(status: Any, sentence: str | None) -> None:
    assert deployment_problem(deployment(status)) == sentence


def test_deployment_verdict_names_one_that_is_scaled_to_0() -> None:
    assert deployment_problem(deployment(READY, replicas=0)) == "the Deployment s/operator is scaled to 0"


@pytest.mark.parametrize("labels", [None, {}, {PART_OF: "kserve"}])
def test_owner_verdict_names_a_crd_of_another_controller(labels: Any) -> None:
    sentence = owner_problem("x.serving.kserve.io", {"labels": labels})
    assert sentence == (
        "the CRD x.serving.kserve.io is not manyserve's: it has no label app.kubernetes.io/part-of=manyserve; "
        "docs/install.md says what to do"
    )
    assert owner_problem("x", {"labels": {PART_OF: "manyserve"}}) is None


def test_review_verdict_accepts_the_refusal_of_the_webhook_only() -> None:
    assert review_problem(Forbidden(DENIED), "n") is None
    other = review_problem(Forbidden('admission webhook "policy.io" denied the request: no'), "n")
    assert other is not None
    assert other.startswith("a TrainedModel in the namespace n was refused, but not by the webhook: admission webhook")
    missing = review_problem(None, "n")
    assert missing is not None
    assert missing.startswith(
        "the webhook did not refuse a TrainedModel with the address https://169.254.169.254/latest"
    )
    assert review_problem(ClusterError("no response"), "n") is not None
