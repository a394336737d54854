"""Records of loads on the volume."""

from pathlib import Path

import pytest

from manyserve.agent.volume.load_records import LoadRecord
from manyserve.agent.volume.store import Store

A, B = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.open()
    (store.models / "m").mkdir()
    return store


def restarted(store: Store) -> dict[str, LoadRecord]:
    """Return the records that the next agent reads."""
    again = Store(store.models.parent)
    again.open()
    return again.load_records.all()


def test_load_without_result_is_under_way_after_restart(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A))
    assert restarted(store) == {"m": LoadRecord(A)}


def test_answered_load_leaves_no_record(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A))
    store.load_records.finish("m")
    assert restarted(store) == {}


def test_number_of_ends_is_kept_until_a_load_succeeds(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A, 1))
    assert restarted(store) == {"m": LoadRecord(A, 1)}
    store.load_records.finish("m")
    assert restarted(store) == {"m": LoadRecord(A, 1, under_way=False)}
    store.load_records.begin("m", LoadRecord(A, 2))
    assert restarted(store) == {"m": LoadRecord(A, 2)}
    store.load_records.remove("m")
    assert restarted(store) == {}


def test_load_of_new_spec_drops_the_ends_of_the_old_one(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A, 2))
    store.load_records.begin("m", LoadRecord(B))
    assert restarted(store) == {"m": LoadRecord(B)}


def test_load_of_previous_version_keeps_the_ends_of_the_new_one(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A, 1))
    store.load_records.begin("m", LoadRecord(A, 2, of_previous=True))
    assert restarted(store) == {"m": LoadRecord(A, 2, under_way=False)}


def test_deleted_model_leaves_no_record(store: Store) -> None:
    store.load_records.begin("m", LoadRecord(A, 1))
    store.delete("m")
    assert list(store.markers.iterdir()) == []
