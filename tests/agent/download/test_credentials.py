"""Mounted Secrets: reloads after a change, consistent versions, and a repr without values."""

from pathlib import Path

import pytest

from manyserve.agent.download.credentials import Secrets
from tests.agent.mounts import SecretMount


def test_secrets_without_folder_are_empty(tmp_path: Path) -> None:
    assert Secrets(tmp_path / "none").by_name() == {}
    assert Secrets(tmp_path / "none").get("HF_TOKEN") is None


def test_secrets_have_folders_as_names_and_files_as_keys(tmp_path: Path) -> None:
    SecretMount(tmp_path, "b", HF_TOKEN="two\n", empty="")
    SecretMount(tmp_path, "a", user="one")
    secrets = Secrets(tmp_path)
    assert secrets.by_name() == {"a": {"user": "one"}, "b": {"HF_TOKEN": "two", "empty": ""}}
    assert secrets.get("HF_TOKEN") == "two"
    assert secrets.get("empty") is None


def test_secrets_ignore_values_that_are_no_text(tmp_path: Path) -> None:
    SecretMount(tmp_path, "a", store=b"\xff\xfe\x00", large="x" * 2_000_000, key="1")
    assert Secrets(tmp_path).by_name() == {"a": {"key": "1"}}


def test_secrets_read_swapped_folder_again(tmp_path: Path) -> None:
    mount = SecretMount(tmp_path, "a", key="1")
    secrets = Secrets(tmp_path)
    before = secrets.by_name()
    assert secrets.by_name() is before
    mount.write(key="2", more="3")
    assert secrets.by_name() == {"a": {"key": "2", "more": "3"}}
    SecretMount(tmp_path, "late", key="4")
    assert list(secrets.by_name()) == ["a", "late"]


def test_secrets_read_overwritten_file_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "key").write_text("1")
    secrets = Secrets(tmp_path)
    assert secrets.get("key") == "1"
    (tmp_path / "a" / "key").write_text("22")
    assert secrets.get("key") == "22"


@pytest.mark.parametrize("show", [repr, str, "{!r:}".format])
def test_secrets_repr_shows_no_value(tmp_path: Path, show: object) -> None:
    SecretMount(tmp_path, "a", key="hush")
    secrets = Secrets(tmp_path)
    assert secrets.get("key") == "hush"
    assert callable(show)
    assert "hush" not in show(secrets)
