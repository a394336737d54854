"""The small pure parts: settings, retries, texts, the log's lines, the config file."""

import gzip
import json
import logging
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.config import ConfigFile
from manyserve.agent.redaction import LIMIT, one_line, without_secrets
from manyserve.agent.retry import BACKOFF, BACKOFF_PERMANENT, RetryState, Stage, backoff
from manyserve.agent.settings import AgentSettings
from manyserve.api.errors import StartupError
from manyserve.api.modelconfig import Entry, content_hash, dump, parse
from manyserve.logs import JsonLines, timestamp
from tests.agent.support import ConfigMount, entry


def test_settings_come_from_the_environment() -> None:
    settings = AgentSettings.from_env({"MANYSERVE_SERVER_URL": "http://localhost:9/", "MANYSERVE_PARALLEL_LOADS": "3"})
    assert (settings.server_url, settings.parallel_loads) == ("http://localhost:9", 3)
    assert AgentSettings.from_env({}) == AgentSettings()


def test_our_own_variable_goes_before_the_emulators_which_may_lack_a_scheme() -> None:
    assert AgentSettings.from_env({"STORAGE_EMULATOR_HOST": "gcs:4443"}).sources.gcs_endpoint == "http://gcs:4443"
    both = {"STORAGE_EMULATOR_HOST": "gcs:4443", "MANYSERVE_GCS_ENDPOINT": "https://own"}
    assert AgentSettings.from_env(both).sources.gcs_endpoint == "https://own"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MANYSERVE_AGENT_PORT", "99999"),
        ("MANYSERVE_AGENT_PORT", "http"),
        ("MANYSERVE_STORE_DIR", "models"),
        ("MANYSERVE_SERVER_URL", "ftp://x"),
        ("MANYSERVE_SERVER_URL", "http://x:99999"),
        ("MANYSERVE_PARALLEL_LOADS", "0"),
        ("MANYSERVE_LOAD_SECONDS", "nan"),
        ("MANYSERVE_LOAD_SECONDS", "-1"),
        ("MANYSERVE_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_its_name(name: str, value: str) -> None:
    with pytest.raises(StartupError, match=f"^{name}='{value}' is not valid: it must be ") as caught:
        AgentSettings.from_env({name: value})
    assert "\n" not in str(caught.value)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.booleans())
def test_a_retry_comes_and_never_later_than_its_cap(failures: int, fraction: float, permanent: bool) -> None:
    cap = BACKOFF_PERMANENT.cap if permanent else BACKOFF.cap
    assert 0.5 <= backoff(permanent=permanent).delay(failures, fraction) <= cap


def test_waits_double() -> None:
    assert [backoff(permanent=False).delay(count, 1) for count in range(1, 8)] == [1, 2, 4, 8, 16, 32, 60]
    assert backoff(permanent=True).delay(6, 1) == 30


def test_a_memory_is_about_one_spec() -> None:
    memory = RetryState("x", Stage.LOAD, 3)
    assert memory.for_digest("x") is memory
    assert memory.for_digest("y") == RetryState("y")


def test_messages_lose_secrets_and_line_ends() -> None:
    text = "GET https://user:pw@host/path?X-Signature=abc&b=c failed\r\n\tat x\x00"
    assert one_line(text) == "GET https://host/path failed at x?"


def test_long_texts_take_no_time() -> None:
    began = time.monotonic()
    for text in ("x" * 1_000_000, "a://" * 250_000, "a://b" + "?" * 1_000_000):
        without_secrets(text[:65536])
        one_line(text)
    assert time.monotonic() - began < 10


@given(st.text())
def test_any_message_is_one_printable_line_of_bounded_length(text: str) -> None:
    line = one_line(text * 3)
    assert len(line) <= LIMIT
    assert line.isprintable()


def test_a_log_line_is_json_with_the_agents_keys() -> None:
    record = logging.LogRecord("manyserve.agent", logging.INFO, "/x/agent/loop.py", 7, "hi %s", ("gs://b/k?s=1",), None)
    line = json.loads(JsonLines(without_secrets).format(record))
    assert list(line) == ["level", "ts", "logger", "caller", "msg"]
    assert line["level"] == "info"
    assert line["caller"] == "agent/loop.py:7"
    assert line["msg"] == "hi gs://b/k"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"


def test_a_config_is_read_when_it_changes_and_only_then(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    assert not file.look()
    assert file.config is None
    mount.write(entry("a"))
    assert file.look()
    assert file.config
    assert file.config.entries == {"a": entry("a")}
    assert file.config.hash == content_hash(mount.path.read_bytes())
    assert not file.look()
    mount.write(entry("a"))
    assert not file.look(), "the same content again is no change"


def test_a_change_that_no_look_tells_is_found_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(dump([entry("a")]))
    file = ConfigFile(path)
    file.look()
    times = path.stat()
    path.write_text(dump([entry("b")]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert any(file.look() for _ in range(60))


def test_a_config_that_goes_stays_in_force(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    mount.write(entry("a"))
    file.look()
    mount.path.unlink()
    assert file.look()
    assert file.config
    assert "is gone" in file.error


def test_a_large_config_comes_packed_and_its_hash_is_that_of_the_text(tmp_path: Path) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    text = dump([entry("a")])
    mount.write_text(gzip.compress(text.encode()), name="models.json.gz")
    assert file.look()
    assert file.config
    assert file.config.hash == content_hash(text)


def test_a_config_that_was_refused_is_not_read_again_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount, file = ConfigMount(tmp_path), ConfigFile(tmp_path / "models.json")
    read: list[str | bytes] = []

    def parse_counted(text: str | bytes) -> tuple[Entry, ...]:
        read.append(text)
        return parse(text)

    monkeypatch.setattr("manyserve.api.modelconfig.parse", parse_counted)
    mount.write_text("[1]")
    assert file.look()
    error = file.error
    assert not any(file.look() for _ in range(200))
    assert (file.error, len(read)) == (error, 1)
    mount.write_text("{}")
    assert file.look()
    assert "not a JSON list" in file.error
