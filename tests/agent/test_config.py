"""Reader of models.json."""

import gzip
import os
from pathlib import Path

import pytest

from manyserve.agent.config import ConfigFile
from manyserve.api.modelconfig import Entry, content_hash, dump, parse
from tests.agent.support import ConfigMount, entry


def test_config_file_is_read_only_when_changed(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    assert not file.refresh()
    assert file.config is None
    mount.write(entry("a"))
    assert file.refresh()
    assert file.config
    assert file.config.entries == {"a": entry("a")}
    assert file.config.hash == content_hash(mount.path.read_bytes())
    assert not file.refresh()
    mount.write(entry("a"))
    assert not file.refresh(), "the same content again is no change"


def test_config_file_finds_change_with_unchanged_times(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(dump([entry("a")]))
    file = ConfigFile(path)
    file.refresh()
    times = path.stat()
    path.write_text(dump([entry("b")]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert any(file.refresh() for _ in range(60))


def test_config_file_removed_stays_in_force(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    mount.write(entry("a"))
    file.refresh()
    mount.path.unlink()
    assert file.refresh()
    assert file.config
    assert "is gone" in file.error


def test_config_file_packed_has_hash_of_text(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    text = dump([entry("a")])
    mount.write_text(gzip.compress(text.encode()), name="models.json.gz")
    assert file.refresh()
    assert file.config
    assert file.config.hash == content_hash(text)


def test_config_file_invalid_is_parsed_only_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    texts: list[str | bytes] = []

    def parse_counted(text: str | bytes) -> tuple[Entry, ...]:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr("manyserve.api.modelconfig.parse", parse_counted)
    mount.write_text("[1]")
    assert file.refresh()
    error = file.error
    assert not any(file.refresh() for _ in range(200))
    assert (file.error, len(texts)) == (error, 1)
    mount.write_text("{}")
    assert file.refresh()
    assert "not a JSON list" in file.error
