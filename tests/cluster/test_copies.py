"""The copy's rules: news in any order about what we wrote, and a server that goes back in time."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.copies import Copy
from tests.support.watch_lines import model


@pytest.fixture
def told() -> list[tuple[Any, Any]]:
    return []


@pytest.fixture
def copy(told: list[tuple[Any, Any]]) -> Copy:
    copy = Copy(on_change=lambda old, new: told.append((old, new)))
    copy.listed([model("a", 5)], "10")
    told.clear()
    return copy


def version(copy: Copy, name: str) -> int | None:
    found = copy.objects.get(Key("default", name))
    return int(found["metadata"]["resourceVersion"]) if found else None


def test_older_news_about_what_we_wrote_is_skipped(copy: Copy, told: list[Any]) -> None:
    copy.wrote(model("a", 20))
    copy.happened(model("a", 15))
    assert version(copy, "a") == 20
    copy.happened(model("a", 20))
    assert told == [], "neither the older news nor the echo is a change"


def test_it_knows_how_far_it_reaches_and_the_latest_change_that_others_have_seen_too(copy: Copy) -> None:
    assert (copy.newest, copy.seen) == (5, 10)
    copy.wrote(model("a", 20))
    assert (copy.newest, copy.seen) == (5, 10), "what we wrote ourselves is not news before it comes back"
    copy.happened(model("b", 17))
    copy.happened(model("b", 18), deleted=True)
    copy.reached("30")
    assert (copy.newest, copy.seen) == (18, 30)
    copy.listed([model("a", 20)], "40")
    assert (copy.newest, copy.seen) == (20, 40)
    copy.listed([model("a", 5)], "7")
    assert (copy.newest, copy.seen) == (5, 7), "the API server was restored from a backup"


def test_newer_news_about_what_we_wrote_counts(copy: Copy, told: list[Any]) -> None:
    copy.wrote(model("a", 20))
    copy.happened(model("a", 21))
    assert version(copy, "a") == 21
    assert len(told) == 1


def test_an_answer_that_comes_after_its_echo_changes_nothing(copy: Copy) -> None:
    copy.happened(model("a", 20))
    copy.happened(model("a", 21), deleted=True)
    copy.wrote(model("a", 20))
    assert version(copy, "a") is None, "a deleted object must not come back"


def test_an_old_delete_does_not_remove_what_we_created_since(copy: Copy) -> None:
    copy.wrote(model("a", 20))
    copy.happened(model("a", 18), deleted=True)
    assert version(copy, "a") == 20


def test_a_list_made_before_our_write_does_not_undo_it(copy: Copy) -> None:
    copy.wrote(model("new", 20))
    copy.listed([model("a", 5)], "19")
    assert version(copy, "new") == 20
    copy.listed([model("a", 5)], "21")
    assert version(copy, "new") is None


def test_a_server_restored_from_a_backup_is_believed(copy: Copy) -> None:
    copy.wrote(model("a", 20))
    copy.listed([model("a", 3)], "4")
    assert version(copy, "a") == 3


def test_an_object_deleted_and_made_anew_between_two_lists_is_told_as_a_change(copy: Copy, told: list[Any]) -> None:
    again = model("a", 30)
    again["metadata"]["uid"] = "another"
    copy.listed([again], "31")
    assert [(old["metadata"]["uid"], new["metadata"]["uid"]) for old, new in told] == [("uid-a", "another")]


def test_managed_fields_are_not_kept(copy: Copy) -> None:
    big = model("b", 11)
    big["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    copy.happened(big)
    assert "managedFields" not in copy.objects[Key("default", "b")]["metadata"]


def test_an_echo_that_is_faster_than_the_answer_is_no_change(copy: Copy, told: list[Any]) -> None:
    with copy.writing(Key("default", "a")):
        copy.happened(model("a", 20))
        copy.wrote(model("a", 20))
    assert version(copy, "a") == 20
    assert told == []


def test_what_somebody_else_wrote_while_we_did_is_told_once_when_the_answer_is_there(
    copy: Copy, told: list[Any]
) -> None:
    with copy.writing(Key("default", "a")):
        copy.happened(model("a", 19))
        copy.happened(model("a", 20))
        copy.wrote(model("a", 20))
        assert told == []
    assert [(old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"]) for old, new in told] == [
        ("5", "20")
    ]


def test_what_is_heard_while_a_write_fails_is_told_after_it(copy: Copy, told: list[Any]) -> None:
    def write_and_fail() -> None:
        with copy.writing(Key("default", "a")):
            copy.happened(model("a", 20))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        write_and_fail()
    assert len(told) == 1


def test_a_deletion_while_we_write_is_told_after_it(copy: Copy, told: list[Any]) -> None:
    with copy.writing(Key("default", "a")):
        copy.happened(model("a", 20), deleted=True)
    assert [new for _, new in told] == [None]


def test_of_two_writes_at_once_the_last_to_end_tells(copy: Copy, told: list[Any]) -> None:
    key = Key("default", "a")
    with copy.writing(key):
        with copy.writing(key):
            copy.happened(model("a", 20))
            copy.happened(model("a", 21))
        assert told == []
    assert len(told) == 1
