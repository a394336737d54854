"""Reviews of heterogeneous hosts, and of models with copies."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.inferenceservice import ALLOCATION_SENTENCE, HETEROGENEOUS, HOMOGENEOUS
from manyserve.plan.rules import allocation
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import ask, cache_of, message, warnings


@pytest.fixture(autouse=True)
def heterogeneous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS, HETEROGENEOUS))


def model(name: str = "cifar10", memory: str = "1Gi", **fields: Any) -> Manifest:
    raw = model_object(name, memory=memory)
    return raw | {"spec": raw["spec"] | fields}


HOST = host_object(allocation=HETEROGENEOUS, maxReplicas=3)


def test_host_review_refuses_changed_allocation() -> None:
    sentence = f"spec.predictor.allocation: {ALLOCATION_SENTENCE}"
    assert message(ask(cache_of(HOST), host_object(maxReplicas=3), HOST)) == sentence
    assert message(ask(cache_of(host_object()), HOST, host_object())) == sentence
    assert ask(cache_of(host_object()), host_object(allocation=HOMOGENEOUS), host_object()).allowed


def test_model_review_refuses_copies_on_homogeneous_host() -> None:
    refusal = message(ask(cache_of(host_object()), model(scaleTarget=3)))
    assert refusal.startswith("spec.scaleTarget: is for hosts with allocation Heterogeneous, and triton-mms is Homogen")


def test_model_review_ratchets_copies_on_homogeneous_host() -> None:
    old, new = model(minReplicas=2, memory="512Mi"), model(minReplicas=2, memory="1Gi")
    assert ask(cache_of(host_object(), old), new, old).allowed
    assert not ask(cache_of(host_object(), old), model(minReplicas=2, maxReplicas=3), old).allowed


def test_model_review_warns_about_more_copies_than_pods() -> None:
    outcome = ask(cache_of(HOST), model(maxReplicas=4))
    assert outcome.allowed
    assert [each.partition(":")[0] for each in warnings(outcome)] == [
        "cifar10 may have 4 copies, and triton-mms has 3 pods at most"
    ]


def test_model_review_refuses_model_larger_than_a_pod() -> None:
    assert message(ask(cache_of(HOST), model(memory="3Gi"))) == (
        "spec.model.memory: 3Gi does not fit into a pod of triton-mms, which has 2Gi for models. "
        "Lower spec.model.memory, or raise the memory limit of the host's server."
    )


def test_model_review_judges_memory_by_all_pods_and_copies() -> None:
    cache = cache_of(HOST, model("a", "2Gi", minReplicas=2))
    assert ask(cache, model("b", "2Gi")).allowed
    assert message(ask(cache, model("c", "1Gi", minReplicas=3))).startswith(
        "spec.model.memory: 3Gi does not fit on triton-mms: 6Gi of 6Gi is used by 2 models"
    )


def test_host_review_refuses_fewer_pods_than_the_models_need() -> None:
    fewer = host_object(allocation=HETEROGENEOUS, maxReplicas=1)
    refusal = message(ask(cache_of(HOST, model("a", "2Gi", minReplicas=2)), fewer, HOST))
    assert refusal.startswith("spec.predictor: triton-mms cannot go down to 2Gi of memory: 4Gi is used by 1 model")


def test_webhook_counts_one_copy_of_a_model_while_all_hosts_are_homogeneous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "SERVED", (HOMOGENEOUS,))
    cache = cache_of(host_object(), model("a", "1Gi", minReplicas=3))
    assert ask(cache, model("b", "1Gi")).allowed
    assert not ask(cache, model("b", "1536Mi")).allowed
    grown = model("a", "3Gi")
    assert not ask(cache, grown, model("a", "1Gi", minReplicas=3)).allowed
