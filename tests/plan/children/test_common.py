"""Diff of a desired manifest and the observed object."""

from __future__ import annotations

from manyserve.plan.children.common import difference


def test_difference_ignores_additional_fields_and_elements() -> None:
    assert (
        difference(
            {"a": 1, "b": [{"name": "x", "c": 1}]}, {"a": 1, "b": [{"name": "y"}, {"name": "x", "c": 1}], "z": 0}
        )
        is None
    )


def test_difference_ignores_another_notation_of_a_quantity() -> None:
    wanted = {"resources": {"limits": {"memory": "2048Mi", "cpu": "1000m"}}}
    assert difference(wanted, {"resources": {"limits": {"memory": "2Gi", "cpu": "1"}}}) is None


def test_difference_parses_size_limit_as_a_quantity() -> None:
    assert difference({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}) is None


def test_difference_equates_empty_and_absent() -> None:
    assert difference({"env": [], "value": "", "on": False}, {}) is None


def test_difference_names_the_path_of_the_first_field() -> None:
    wanted = {"spec": {"containers": [{"name": "a", "image": "new"}]}}
    observed = {"spec": {"containers": [{"name": "a", "image": "old"}]}}
    assert difference(wanted, observed) == "spec.containers[a].image is 'old', not 'new'"
    assert difference({"spec": {"args": ["x"]}}, {"spec": {"args": []}}) == "spec.args has 0 elements, not 1"
    assert difference({"spec": {"replicas": 1}}, {"spec": {}}) == "spec.replicas is None, not 1"


def test_difference_compares_elements_without_text_names_by_index() -> None:
    assert difference({"volumes": [{"name": []}]}, {"volumes": [{"name": "a"}]}) == "volumes[0].name is 'a', not []"


def test_difference_identifies_owners_by_uid() -> None:
    ours, other = {"name": "triton-mms", "uid": "1"}, {"name": "triton-mms", "uid": "2"}
    assert difference([ours], [ours, other]) is None
    assert difference([ours], [other], "owners") == "owners[1] is None, not {'name': 'triton-mms', 'uid': '1'}"
