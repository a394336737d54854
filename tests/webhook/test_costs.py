"""Cost of a review: the same on a host with ten models and with a thousand, for each decision.

The cost is the number of executed lines of Python, so that neither a clock nor another program has an influence.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from manyserve.webhook.review import Outcome
from tests.support.make import Manifest, host_object, model_object
from tests.webhook.reviews import ask, cache_of


@pytest.mark.parametrize(
    ("new", "old", "allowed"),
    [
        (model_object("new", memory="1Mi"), None, True),
        (model_object("new", memory="500Gi"), None, False),
        (host_object(memory="99Gi"), host_object(memory="100Gi"), True),
        (host_object(memory="1Mi"), host_object(memory="100Gi"), False),
    ],
    ids=["a model that fits", "a model that does not", "a host made smaller", "a host made too small"],
)
def test_review_cost_does_not_depend_on_number_of_models(new: Manifest, old: Manifest | None, *, allowed: bool) -> None:
    work = []
    for count in (10, 1000):
        models = (model_object(f"model-{number}", memory="1Mi") for number in range(count))
        cache = cache_of(host_object(memory="100Gi"), *models)
        ask(cache, new, old)  # work that is done once, such as the compilation of a pattern, is not counted
        lines, outcome = lines_of(partial(ask, cache, new, old))
        assert outcome.allowed is allowed
        work.append(lines)
    assert work[1] == pytest.approx(work[0], abs=10)


def lines_of(call: Callable[[], Outcome]) -> tuple[int, Outcome]:
    """Return the number of lines of Python that a call executes, and its result."""
    lines = 0

    def count(_frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        outcome = call()
    finally:
        sys.settrace(before)
    return lines, outcome
