"""Objects of KServe keep each field and get no write, while our CRDs, operator and webhook are installed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from manyserve.api import conditions
from manyserve.plan.management import HOST_REASONS, MODEL_REASONS
from tests.contract import unmanaged_course
from tests.contract.unmanaged_course import NEW_FORM, OLD_FORM, UNMARKED, WAITING, Course, Stored
from tests.support.control_plane import control_plane
from tests.support.figures import Figures, reports
from tests.support.kserve_forms import FORMS, Form
from tests.support.kubectl import condition

UNMANAGED = [(each.kind, each.name) for each in FORMS]
SENTENCES = {
    "OwnStorage": "is set, so this InferenceService has a model of its own; place models with TrainedModels",
    "TransformerOrExplainer": "is set, and manyserve runs hosts with a predictor only",
    "ContainerNotMultiModel": "spec.predictor.containers: has no container with MULTI_MODEL_SERVER=true in its env",
    "NoKnownPredictor": "a host has one of: triton, sklearn, xgboost, lightgbm, containers, model",
}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Records of the scenario, which runs once for all tests of this file."""
    with control_plane() as server:
        return asyncio.run(unmanaged_course.play(server, tmp_path_factory.mktemp("unmanaged")))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Figures of unmanaged objects, for the report."""
    return reports(request.config)["unmanaged"]


def test_unmanaged_objects_keep_spec_and_status_byte_equal(course: Course, figures: Figures) -> None:
    names = [*UNMANAGED, ("InferenceService", NEW_FORM), ("InferenceService", OLD_FORM), ("TrainedModel", WAITING)]
    lost = [each for each in names if _text(course.before, each, "spec") != _text(course.after, each, "spec")]
    figures.take(f"specs byte-equal, of {len(names)}", len(names) - len(lost), "", exactly=len(names))
    assert lost == []
    assert [
        each for each in UNMANAGED if _text(course.before, each, "status") != _text(course.after, each, "status")
    ] == []


def test_unmanaged_objects_keep_their_fields_under_applied_crds(course: Course) -> None:
    for name in UNMANAGED:
        assert course.applied[name]["metadata"]["labels"]["way"] == "apply"
        for part in ("spec", "status"):
            assert _text(course.before, name, part) == _text(course.applied, name, part), name


def test_unmanaged_objects_get_no_write(course: Course, figures: Figures) -> None:
    written = [
        each
        for each in UNMANAGED
        if _version(course.started, each) != _version(course.unlabelled, each)
        or _version(course.labelled, each) != _version(course.after, each)
        or "manyserve" in {field["manager"] for field in course.after[each]["metadata"]["managedFields"]}
    ]
    figures.take("writes on unmanaged objects", len(written), "", exactly=0)
    assert written == []


def test_webhook_accepts_a_label_on_an_unmanaged_object(course: Course) -> None:
    for name in UNMANAGED:
        assert course.labelled[name]["metadata"]["labels"]["team"] == "a"


def test_unmanaged_objects_get_no_child_no_event_and_no_owner_reference(course: Course) -> None:
    owners = {owner["uid"] for each in course.children for owner in each["metadata"].get("ownerReferences", [])}
    assert owners & {course.before[each]["metadata"]["uid"] for each in UNMANAGED} == set()
    about = {(each["involvedObject"]["kind"], each["involvedObject"]["name"]) for each in course.events}
    assert about & set(UNMANAGED) == set()
    for name in UNMANAGED:
        assert _part(course.before, name, "ownerReferences") == _part(course.after, name, "ownerReferences")


def test_webhook_accepts_a_create_with_a_mark_of_kserve(course: Course) -> None:
    assert course.marked == {"as stored": "", "annotation": "", "finalizer": ""}


@pytest.mark.parametrize("form", UNMARKED, ids=lambda each: each.name)
def test_webhook_refuses_a_create_without_a_mark_with_the_reason(course: Course, form: Form) -> None:
    refusal = course.refusals[form.name]
    assert SENTENCES[form.reason] in refusal
    assert "webhook.refuseUnmanaged=false" in refusal


def test_lenient_webhook_accepts_a_create_without_a_mark(course: Course) -> None:
    assert course.lenient == ""


def test_model_of_an_unmanaged_inferenceservice_reports_it(course: Course) -> None:
    predictor = condition(course.ended["TrainedModel", WAITING], conditions.IS_MMS_PREDICTOR)
    assert (predictor["status"], predictor["reason"]) == ("False", "NotManaged")
    assert (
        "model-with-storage-uri is not managed by manyserve: spec.predictor.model.storageUri: is set"
        in predictor["message"]
    )


def test_operator_counts_unmanaged_objects_by_reason(course: Course) -> None:
    expected = Counter((each.kind, each.reason) for each in FORMS)
    for kind, reasons in (("InferenceService", HOST_REASONS), ("TrainedModel", MODEL_REASONS)):
        for reason in reasons:
            line = f'manyserve_unmanaged_objects{{kind="{kind}",reason="{reason}"}} {expected[kind, reason]:.1f}'
            assert line in course.metrics.splitlines()


def test_managed_hosts_beside_unmanaged_objects_are_served_in_both_forms(course: Course) -> None:
    assert condition(course.ended["InferenceService", NEW_FORM])["status"] == "True"
    assert condition(course.ended["TrainedModel", "of-model"])["status"] == "True"
    assert [each["modelName"] for each in json.loads(course.config)] == ["of-triton"]
    served = {owner["name"] for each in course.children for owner in each["metadata"].get("ownerReferences", [])}
    assert {NEW_FORM, OLD_FORM} <= served


def _text(stored: Stored, which: tuple[str, str], part: str) -> str:
    return json.dumps(stored[which].get(part), sort_keys=True)


def _part(stored: Stored, which: tuple[str, str], part: str) -> Any:
    return stored[which]["metadata"].get(part)


def _version(stored: Stored, which: tuple[str, str]) -> Any:
    return _part(stored, which, "resourceVersion")
