"""The webhook lets updates of unmanaged objects pass, and refuses their creation unless KServe looks after them."""

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


def marked(thing: Manifest, **metadata: Any) -> Manifest:
    return thing | {"metadata": thing["metadata"] | metadata}


@pytest.mark.parametrize("form", FORMS, ids=lambda each: each.name)
def test_an_update_of_a_form_of_kserve_passes_without_a_warning(form: Form) -> None:
    new = form.copy(form.name, labels={"team": "a"})
    new["spec"]["more"] = "of it"
    outcome = ask(cache_of(), new, form.manifest)
    assert outcome.allowed
    assert warnings(outcome) == []


@pytest.mark.parametrize("form", UNMARKED, ids=lambda each: each.name)
def test_a_create_of_a_form_without_a_mark_is_refused_unless_the_chart_lets_it_in(form: Form) -> None:
    refused = ask(cache_of(), form.manifest)
    assert not refused.allowed
    assert message(refused).endswith(f"; {HINT}")
    assert refused.response["response"]["status"]["reason"] == "Invalid"
    assert ask(lenient(), form.manifest).allowed


@pytest.mark.parametrize("metadata", [{"annotations": MODE}, {"finalizers": [HOST_FINALIZER]}], ids=str)
@pytest.mark.parametrize("form", UNMARKED, ids=lambda each: each.name)
def test_a_create_of_a_form_with_a_mark_passes(form: Form, metadata: Manifest) -> None:
    assert ask(cache_of(), form.copy(form.name, **metadata)).allowed


def test_the_refusal_names_the_field_the_reason_and_the_way_out() -> None:
    assert message(ask(cache_of(), PYTORCH)) == REASON


def test_an_update_that_makes_a_host_unmanaged_passes_with_a_warning() -> None:
    outcome = ask(cache_of(host_object()), marked(host_object(), annotations=MODE), host_object())
    assert outcome.allowed
    assert warnings(outcome) == [
        "manyserve stops acting on this InferenceService: "
        "metadata.annotations[serving.kserve.io/deploymentMode]: is set, so KServe looks after this InferenceService"
    ]


def test_an_update_that_removes_the_mark_of_a_host_passes() -> None:
    assert ask(cache_of(), host_object(), marked(host_object(), annotations=MODE)).allowed


def test_an_update_that_removes_the_mark_and_changes_the_spec_is_judged_as_a_hosts() -> None:
    outcome = ask(cache_of(), host_object(timeout=3), marked(host_object(), annotations=MODE))
    assert "spec.predictor.timeout" in message(outcome)


def test_a_model_of_kserves_passes_whatever_it_asks_for() -> None:
    model = marked(model_object(memory="900Gi", framework="unknown", uri="no uri"), finalizers=[MODEL_FINALIZER])
    outcome = ask(cache_of(host_object()), model)
    assert outcome.allowed
    assert outcome.reserve is None


def test_a_model_of_kserves_takes_no_memory_from_the_others() -> None:
    cache = cache_of(host_object(), marked(model_object("kserves", memory="2Gi"), finalizers=[MODEL_FINALIZER]))
    assert ask(cache, model_object("own", memory="2Gi")).allowed


def test_a_model_that_names_an_unmanaged_inferenceservice_is_let_in_with_a_warning() -> None:
    cache = lenient()
    changed(cache, PYTORCH)
    outcome = ask(cache, model_object())
    assert outcome.allowed
    assert warnings(outcome)[0].startswith(
        "waits: InferenceService triton-mms is not managed by manyserve: spec.predictor: none of its servers is one"
    )


def test_an_inferenceservice_that_becomes_a_host_again_has_its_memory_again() -> None:
    cache = cache_of(marked(host_object(), annotations=MODE))
    assert ask(cache, model_object(memory="900Gi")).allowed
    changed(cache, host_object(), marked(host_object(), annotations=MODE))
    assert "triton-mms" in message(ask(cache, model_object(memory="900Gi")))


ODD: list[Any] = [None, [], "x", {"finalizers": "x"}, {"finalizers": [{}]}, {"annotations": []}, {"annotations": "x"}]


@pytest.mark.parametrize("metadata", ODD, ids=str)
def test_odd_metadata_of_an_old_object_has_a_decision(metadata: Any) -> None:
    outcome = ask(cache_of(), PYTORCH, PYTORCH | {"metadata": metadata})
    assert outcome.allowed


@pytest.mark.parametrize(
    "spec", [None, "x", {"inferenceService": {}, "model": {"framework": "a", "memory": "1"}}], ids=str
)
def test_a_stored_model_of_an_odd_shape_stops_nothing(spec: Any) -> None:
    cache = cache_of(host_object())
    changed(cache, model_object("odd") | {"spec": spec})
    assert ask(cache, model_object()).allowed
