"""The comparison says what differs; more than wanted, or the same quantity in other words, is no difference."""

from __future__ import annotations

from manyserve.plan.children.common import difference


def test_more_than_wanted_is_no_difference() -> None:
    assert (
        difference(
            {"a": 1, "b": [{"name": "x", "c": 1}]}, {"a": 1, "b": [{"name": "y"}, {"name": "x", "c": 1}], "z": 0}
        )
        is None
    )


def test_the_same_quantity_in_other_words_is_no_difference() -> None:
    wanted = {"resources": {"limits": {"memory": "2048Mi", "cpu": "1000m"}}}
    assert difference(wanted, {"resources": {"limits": {"memory": "2Gi", "cpu": "1"}}}) is None


def test_a_size_limit_is_a_quantity_too() -> None:
    assert difference({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}) is None


def test_what_is_empty_here_and_absent_there_is_no_difference() -> None:
    assert difference({"env": [], "value": "", "on": False}, {}) is None


def test_the_first_difference_is_named_with_its_path() -> None:
    wanted = {"spec": {"containers": [{"name": "a", "image": "new"}]}}
    seen = {"spec": {"containers": [{"name": "a", "image": "old"}]}}
    assert difference(wanted, seen) == "spec.containers[a].image is 'old', not 'new'"
    assert difference({"spec": {"args": ["x"]}}, {"spec": {"args": []}}) == "spec.args has 0 elements, not 1"
    assert difference({"spec": {"replicas": 1}}, {"spec": {}}) == "spec.replicas is None, not 1"


def test_elements_whose_names_are_no_texts_are_compared_in_turn() -> None:
    assert difference({"volumes": [{"name": []}]}, {"volumes": [{"name": "a"}]}) == "volumes[0].name is 'a', not []"


def test_owners_of_the_same_name_are_told_apart_by_their_uid() -> None:
    ours, other = {"name": "triton-mms", "uid": "1"}, {"name": "triton-mms", "uid": "2"}
    assert difference([ours], [ours, other]) is None
    assert difference([ours], [other], "owners") == "owners[1] is None, not {'name': 'triton-mms', 'uid': '1'}"
