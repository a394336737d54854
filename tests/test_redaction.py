"""Redaction of messages and log lines."""

import json
import logging
import time

from hypothesis import given
from hypothesis import strategies as st

from manyserve.logs import JsonLines, timestamp
from manyserve.redaction import LIMIT, one_line, without_secrets


def test_one_line_removes_secrets_and_line_ends() -> None:
    text = "GET https://user:pw@host/path?X-Signature=abc&b=c failed\r\n\tat x\x00"
    assert one_line(text) == "GET https://host/path failed at x?"


def test_redaction_of_long_text_is_fast() -> None:
    began = time.thread_time()
    for text in ("x" * 1_000_000, "a://" * 250_000, "a://b" + "?" * 1_000_000):
        without_secrets(text[:65536])
        one_line(text)
    assert time.thread_time() - began < 10, "so much processor time, on a busy machine, too"


@given(st.text())
def test_one_line_is_printable_and_bounded_for_any_text(text: str) -> None:
    line = one_line(text * 3)
    assert len(line) <= LIMIT
    assert line.isprintable()


def test_log_line_is_json_without_secrets() -> None:
    record = logging.LogRecord("manyserve.agent", logging.INFO, "/x/agent/loop.py", 7, "hi %s", ("gs://b/k?s=1",), None)
    line = json.loads(JsonLines(without_secrets).format(record))
    assert list(line) == ["level", "ts", "logger", "caller", "msg"]
    assert line["level"] == "info"
    assert line["caller"] == "agent/loop.py:7"
    assert line["msg"] == "hi gs://b/k"
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
