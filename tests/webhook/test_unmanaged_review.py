"""Reviews of unmanaged objects: updates pass, and a create is refused without one of KServe's marks."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.webhook.cache import Cache
from manyserve.webhook.reservations import Reservations
from tests.support.clock import FakeClock
from tests.support.kserve_forms import FORMS, HOST_FINALIZER, MODE, MODEL_FINALIZER, Form
from tests.support.make import Manifest, config, host_object, model_object
from tests.webhook.reviews import ask, cache_of, changed, message, warnings

UNMARKED = [each for each in FORMS if not each.marked]
PYTORCH = host_object(triton=None, pytorch={})
REASON = (
    "spec.predictor: none of its servers is one that manyserve runs: pytorch; a host has one of: triton, sklearn, "
    "xgboost, lightgbm, containers, model (model with one of these formats); webhook.refuseUnmanaged=false in the "
    "chart lets such objects in, for another controller"
)
HINT = "webhook.refuseUnmanaged=false in the chart lets such objects in, for another controller"


def lenient() -> Cache:
    return Cache(Reservations(FakeClock()), config(), refuse_unmanaged=False)


def marked(manifest: Manifest, **metadata: Any) -> Manifest:
    return manifest | {"metadata": manifest["metadata"] | metadata}


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.name)
def test_unmanaged_review_allows_update_without_warning(form: Form) -> None:
    new = form.copy(form.name, labels={"team": "a"})
    new["spec"]["more"] = "of it"
    outcome = ask(cache_of(), new, form.manifest)
    assert outcome.allowed
    assert warnings(outcome) == []


@pytest.mark.parametrize("form", UNMARKED, ids=lambda each: each.name)
def test_unmanaged_review_refuses_create_without_mark_by_default(form: Form) -> None:
    refused = ask(cache_of(), form.manifest)
    assert not refused.allowed
    assert message(refused).endswith(f"; {HINT}")
    assert refused.response["response"]["status"]["reason"] == "Invalid"
    assert ask(lenient(), form.manifest).allowed


@pytest.mark.parametrize("metadata", [{"annotations": MODE}, {"finalizers": [HOST_FINALIZER]}], ids=str)
@pytest.mark.parametrize("form", UNMARKED, ids=lambda each: each.name)
def test_unmanaged_review_allows_create_with_mark(form: Form, metadata: Manifest) -> None:
    assert ask(cache_of(), form.copy(form.name, **metadata)).allowed


def test_unmanaged_review_refusal_names_field_reason_and_remedy() -> None:
    assert message(ask(cache_of(), PYTORCH)) == REASON


def test_unmanaged_review_warns_when_host_becomes_unmanaged() -> None:
    outcome = ask(cache_of(host_object()), marked(host_object(), annotations=MODE), host_object())
    assert outcome.allowed
    assert warnings(outcome) == [
        "manyserve stops acting on this InferenceService: "
        "metadata.annotations[serving.kserve.io/deploymentMode]: is set, so KServe looks after this InferenceService"
    ]


def test_unmanaged_review_allows_removal_of_mark() -> None:
    assert ask(cache_of(), host_object(), marked(host_object(), annotations=MODE)).allowed


def test_unmanaged_review_passes_managed_host_to_rules() -> None:
    outcome = ask(cache_of(), host_object(timeout=3), marked(host_object(), annotations=MODE))
    assert "spec.predictor.timeout" in message(outcome)


def test_unmanaged_review_allows_any_unmanaged_model() -> None:
    model = marked(model_object(memory="900Gi", framework="unknown", uri="no uri"), finalizers=[MODEL_FINALIZER])
    outcome = ask(cache_of(host_object()), model)
    assert outcome.allowed
    assert outcome.reserve is None


def test_cache_counts_no_memory_of_unmanaged_model() -> None:
    cache = cache_of(host_object(), marked(model_object("kserves", memory="2Gi"), finalizers=[MODEL_FINALIZER]))
    assert ask(cache, model_object("own", memory="2Gi")).allowed


def test_model_review_warns_about_unmanaged_inferenceservice() -> None:
    cache = lenient()
    changed(cache, PYTORCH)
    outcome = ask(cache, model_object())
    assert outcome.allowed
    assert warnings(outcome)[0].startswith(
        "waits: InferenceService triton-mms is not managed by manyserve: spec.predictor: none of its servers is one"
    )


def test_cache_follows_inferenceservice_that_becomes_managed() -> None:
    cache = cache_of(marked(host_object(), annotations=MODE))
    assert ask(cache, model_object(memory="900Gi")).allowed
    changed(cache, host_object(), marked(host_object(), annotations=MODE))
    assert "triton-mms" in message(ask(cache, model_object(memory="900Gi")))


ODD: list[Any] = [None, [], "x", {"finalizers": "x"}, {"finalizers": [{}]}, {"annotations": []}, {"annotations": "x"}]


@pytest.mark.parametrize("metadata", ODD, ids=str)
def test_unmanaged_review_accepts_malformed_metadata_of_old_object(metadata: Any) -> None:
    outcome = ask(cache_of(), PYTORCH, PYTORCH | {"metadata": metadata})
    assert outcome.allowed


@pytest.mark.parametrize(
    "spec", [None, "x", {"inferenceService": {}, "model": {"framework": "a", "memory": "1"}}], ids=str
)
def test_cache_ignores_malformed_model(spec: Any) -> None:
    cache = cache_of(host_object())
    changed(cache, model_object("odd") | {"spec": spec})
    assert ask(cache, model_object()).allowed
