"""Properties of reviews of any JSON: a response with the uid of the request, or an error with one sentence."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from manyserve.api.inferenceservice import InferenceService
from manyserve.api.trainedmodel import TrainedModel
from manyserve.webhook.admission import BadReviewError
from manyserve.webhook.review import review
from tests.fuzz.profile import sentence_of, tried
from tests.fuzz.shapes import JSON, near
from tests.support.make import host_object, model_object
from tests.webhook.reviews import cache_of, review_of

VIEW = cache_of(host_object(), model_object(), model_object("simple-string")).view()
ODD = st.text(alphabet=st.characters(categories=["Cs", "Cc", "Cf", "Ll"]), max_size=20)
"""Texts that JSON can hold and UTF-8 cannot."""


def objects(kind: type[InferenceService] | type[TrainedModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw whole objects near their kind's shape, merged over a valid one."""
    good = host_object() if kind is InferenceService else model_object()
    named = st.sampled_from(["triton-mms", "cifar10", "Ä", "a.b", "x" * 254])
    metadata = st.builds(lambda name: good["metadata"] | {"name": name}, named) | JSON | ODD
    things = near(kind).filter(lambda each: isinstance(each, dict))
    return st.builds(lambda thing, each: good | thing | {"metadata": each}, things, metadata)


def check_uid(asked: Any) -> None:
    """Review, and compare the uid of the response with the one of the request."""
    assert review(asked, VIEW).response["response"]["uid"] == asked["request"]["uid"]


@given(data=st.data(), model=st.booleans(), update=st.booleans())
@tried(90)
def test_review_of_any_object_has_its_uid_and_a_printable_message(
    data: st.DataObject, *, model: bool, update: bool
) -> None:
    kind = TrainedModel if model else InferenceService
    good = model_object() if model else host_object()
    old = data.draw(objects(kind)) if update else None
    asked = review_of(good, old, object=data.draw(objects(kind)))
    answer = review(asked, VIEW).response
    assert answer["response"]["uid"] == "review-1"
    assert answer["response"]["allowed"] or answer["response"]["status"]["message"].isprintable()
    json.dumps(answer, allow_nan=False).encode()


@given(st.sampled_from(["uid", "kind", "operation", "namespace", "object", "oldObject", "dryRun", "subResource"]), JSON)
@tried(60)
def test_review_with_any_field_value_is_answered_or_refused(field: str, value: Any) -> None:
    asked = review_of(model_object("new"), model_object("new", memory="1"), **{field: value})
    sentence = sentence_of(check_uid, asked, kind=BadReviewError)
    assert sentence is None or sentence.isprintable()


@given(JSON | st.dictionaries(st.sampled_from(["kind", "apiVersion", "request"]), JSON | ODD))
@tried(60)
def test_review_of_any_other_json_is_refused(body: Any) -> None:
    sentence = sentence_of(check_uid, body, kind=BadReviewError)
    assert sentence is not None
    assert sentence.isprintable()
