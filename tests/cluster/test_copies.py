"""The copy's rules: news in any order about what we wrote, and a server that goes back in time."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.store import Store
from tests.support.watch_lines import model


@pytest.fixture
def told() -> list[tuple[Any, Any]]:
    return []


@pytest.fixture
def copy(told: list[tuple[Any, Any]]) -> Store:
    copy = Store(on_change=lambda old, new: told.append((old, new)))
    copy.replace([model("a", 5)], "10")
    told.clear()
    return copy


def version(copy: Store, name: str) -> int | None:
    found = copy.objects.get(Key("default", name))
    return int(found["metadata"]["resourceVersion"]) if found else None


def test_older_news_about_what_we_wrote_is_skipped(copy: Store, told: list[Any]) -> None:
    copy.record_write(model("a", 20))
    copy.apply_event(model("a", 15))
    assert version(copy, "a") == 20
    copy.apply_event(model("a", 20))
    assert told == [], "neither the older news nor the echo is a change"


def test_it_knows_how_far_it_reaches_and_the_latest_change_that_others_have_seen_too(copy: Store) -> None:
    assert (copy.newest_version, copy.observed_version) == (5, 10)
    copy.record_write(model("a", 20))
    assert (copy.newest_version, copy.observed_version) == (5, 10), (
        "what we wrote ourselves is not news before it comes back"
    )
    copy.apply_event(model("b", 17))
    copy.apply_event(model("b", 18), deleted=True)
    copy.advance("30")
    assert (copy.newest_version, copy.observed_version) == (18, 30)
    copy.replace([model("a", 20)], "40")
    assert (copy.newest_version, copy.observed_version) == (20, 40)
    copy.replace([model("a", 5)], "7")
    assert (copy.newest_version, copy.observed_version) == (5, 7), "the API server was restored from a backup"


def test_newer_news_about_what_we_wrote_counts(copy: Store, told: list[Any]) -> None:
    copy.record_write(model("a", 20))
    copy.apply_event(model("a", 21))
    assert version(copy, "a") == 21
    assert len(told) == 1


def test_an_answer_that_comes_after_its_echo_changes_nothing(copy: Store) -> None:
    copy.apply_event(model("a", 20))
    copy.apply_event(model("a", 21), deleted=True)
    copy.record_write(model("a", 20))
    assert version(copy, "a") is None, "a deleted object must not come back"


def test_an_old_delete_does_not_remove_what_we_created_since(copy: Store) -> None:
    copy.record_write(model("a", 20))
    copy.apply_event(model("a", 18), deleted=True)
    assert version(copy, "a") == 20


def test_a_list_made_before_our_write_does_not_undo_it(copy: Store) -> None:
    copy.record_write(model("new", 20))
    copy.replace([model("a", 5)], "19")
    assert version(copy, "new") == 20
    copy.replace([model("a", 5)], "21")
    assert version(copy, "new") is None


def test_a_server_restored_from_a_backup_is_believed(copy: Store) -> None:
    copy.record_write(model("a", 20))
    copy.replace([model("a", 3)], "4")
    assert version(copy, "a") == 3


def test_an_object_deleted_and_made_anew_between_two_lists_is_told_as_a_change(copy: Store, told: list[Any]) -> None:
    again = model("a", 30)
    again["metadata"]["uid"] = "another"
    copy.replace([again], "31")
    assert [(old["metadata"]["uid"], new["metadata"]["uid"]) for old, new in told] == [("uid-a", "another")]


def test_managed_fields_are_not_kept(copy: Store) -> None:
    big = model("b", 11)
    big["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    copy.apply_event(big)
    assert "managedFields" not in copy.objects[Key("default", "b")]["metadata"]


def test_an_echo_that_is_faster_than_the_answer_is_no_change(copy: Store, told: list[Any]) -> None:
    with copy.own_write(Key("default", "a")):
        copy.apply_event(model("a", 20))
        copy.record_write(model("a", 20))
    assert version(copy, "a") == 20
    assert told == []


def test_what_somebody_else_wrote_while_we_did_is_told_once_when_the_answer_is_there(
    copy: Store, told: list[Any]
) -> None:
    with copy.own_write(Key("default", "a")):
        copy.apply_event(model("a", 19))
        copy.apply_event(model("a", 20))
        copy.record_write(model("a", 20))
        assert told == []
    assert [(old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"]) for old, new in told] == [
        ("5", "20")
    ]


def test_what_is_heard_while_a_write_fails_is_told_after_it(copy: Store, told: list[Any]) -> None:
    def write_and_fail() -> None:
        with copy.own_write(Key("default", "a")):
            copy.apply_event(model("a", 20))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        write_and_fail()
    assert len(told) == 1


def test_a_deletion_while_we_write_is_told_after_it(copy: Store, told: list[Any]) -> None:
    with copy.own_write(Key("default", "a")):
        copy.apply_event(model("a", 20), deleted=True)
    assert [new for _, new in told] == [None]


def test_of_two_writes_at_once_the_last_to_end_tells(copy: Store, told: list[Any]) -> None:
    key = Key("default", "a")
    with copy.own_write(key):
        with copy.own_write(key):
            copy.apply_event(model("a", 20))
            copy.apply_event(model("a", 21))
        assert told == []
    assert len(told) == 1
