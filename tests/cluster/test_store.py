"""Store: events in any order around our own writes, and an API server that is restored from a backup."""

from __future__ import annotations

from typing import Any

import pytest

from manyserve.api.names import Key
from manyserve.cluster.store import Store
from tests.support.watch_lines import model


@pytest.fixture
def changes() -> list[tuple[Any, Any]]:
    return []


@pytest.fixture
def store(changes: list[tuple[Any, Any]]) -> Store:
    store = Store(on_change=lambda old, new: changes.append((old, new)))
    store.replace([model("a", 5)], "10")
    changes.clear()
    return store


def version(store: Store, name: str) -> int | None:
    manifest = store.objects.get(Key("default", name))
    return int(manifest["metadata"]["resourceVersion"]) if manifest else None


def test_store_skips_an_event_older_than_our_write(store: Store, changes: list[Any]) -> None:
    store.record_write(model("a", 20))
    store.apply_event(model("a", 15))
    assert version(store, "a") == 20
    store.apply_event(model("a", 20))
    assert changes == [], "neither the older event nor the echo is a change"


def test_store_knows_its_observed_version_and_the_newest_change(store: Store) -> None:
    assert (store.newest_version, store.observed_version) == (5, 10)
    store.record_write(model("a", 20))
    assert (store.newest_version, store.observed_version) == (5, 10), "our own write counts when its event arrives"
    store.apply_event(model("b", 17))
    store.apply_event(model("b", 18), deleted=True)
    store.advance("30")
    assert (store.newest_version, store.observed_version) == (18, 30)
    store.replace([model("a", 20)], "40")
    assert (store.newest_version, store.observed_version) == (20, 40)
    store.replace([model("a", 5)], "7")
    assert (store.newest_version, store.observed_version) == (5, 7), "the API server was restored from a backup"


def test_store_applies_an_event_newer_than_our_write(store: Store, changes: list[Any]) -> None:
    store.record_write(model("a", 20))
    store.apply_event(model("a", 21))
    assert version(store, "a") == 21
    assert len(changes) == 1


def test_store_skips_a_response_older_than_the_watch(store: Store) -> None:
    store.apply_event(model("a", 20))
    store.apply_event(model("a", 21), deleted=True)
    store.record_write(model("a", 20))
    assert version(store, "a") is None, "a deleted object must not come back"


def test_store_skips_a_deletion_older_than_our_write(store: Store) -> None:
    store.record_write(model("a", 20))
    store.apply_event(model("a", 18), deleted=True)
    assert version(store, "a") == 20


def test_store_keeps_our_write_over_an_older_list(store: Store) -> None:
    store.record_write(model("new", 20))
    store.replace([model("a", 5)], "19")
    assert version(store, "new") == 20
    store.replace([model("a", 5)], "21")
    assert version(store, "new") is None


def test_store_follows_a_server_restored_from_a_backup(store: Store) -> None:
    store.record_write(model("a", 20))
    store.replace([model("a", 3)], "4")
    assert version(store, "a") == 3


def test_store_reports_an_object_recreated_between_two_lists_as_a_change(store: Store, changes: list[Any]) -> None:
    again = model("a", 30)
    again["metadata"]["uid"] = "another"
    store.replace([again], "31")
    assert [(old["metadata"]["uid"], new["metadata"]["uid"]) for old, new in changes] == [("uid-a", "another")]


def test_store_drops_managed_fields(store: Store) -> None:
    big = model("b", 11)
    big["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    store.apply_event(big)
    assert "managedFields" not in store.objects[Key("default", "b")]["metadata"]


def test_store_keeps_the_managers_of_replicas_only(store: Store) -> None:
    big = model("b", 11)
    replicas: dict[str, Any] = {"f:spec": {"f:replicas": {}, "f:template": {}}}
    big["metadata"]["managedFields"] = [{"manager": "keda", "time": "t", "fieldsV1": replicas}, {"manager": "kubectl"}]
    store.apply_event(big)
    kept = store.objects[Key("default", "b")]["metadata"]["managedFields"]
    assert kept == [{"manager": "keda", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]


def test_own_write_hides_an_echo_before_the_response(store: Store, changes: list[Any]) -> None:
    with store.own_write(Key("default", "a")):
        store.apply_event(model("a", 20))
        store.record_write(model("a", 20))
    assert version(store, "a") == 20
    assert changes == []


def test_own_write_reports_a_foreign_write_once_after_the_response(store: Store, changes: list[Any]) -> None:
    with store.own_write(Key("default", "a")):
        store.apply_event(model("a", 19))
        store.apply_event(model("a", 20))
        store.record_write(model("a", 20))
        assert changes == []
    assert [(old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"]) for old, new in changes] == [
        ("5", "20")
    ]


def test_own_write_that_fails_reports_held_events(store: Store, changes: list[Any]) -> None:
    def write_and_fail() -> None:
        with store.own_write(Key("default", "a")):
            store.apply_event(model("a", 20))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        write_and_fail()
    assert len(changes) == 1


def test_own_write_reports_a_deletion_after_it(store: Store, changes: list[Any]) -> None:
    with store.own_write(Key("default", "a")):
        store.apply_event(model("a", 20), deleted=True)
    assert [new for _, new in changes] == [None]


def test_own_write_reports_held_events_after_the_last_of_two_writes(store: Store, changes: list[Any]) -> None:
    key = Key("default", "a")
    with store.own_write(key):
        with store.own_write(key):
            store.apply_event(model("a", 20))
            store.apply_event(model("a", 21))
        assert changes == []
    assert len(changes) == 1
