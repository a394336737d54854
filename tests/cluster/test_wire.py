"""Request bodies mean the same as JSON and as YAML, with any text."""

from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from manyserve.cluster.wire import encode

HARD = "\U0001f600 \u2028 \u2029 \x85 \x7f \ufeff \ufffe \u202e \\ud83d \t\r\n \"' {} # : - é"


def test_encoded_body_is_json_and_yaml_with_the_same_letters() -> None:
    body = encode({"value": HARD, HARD: 1})
    assert json.loads(body) == yaml.safe_load(body) == {"value": HARD, HARD: 1}
    assert b"\\ud83d\\ude00" not in body


@given(st.dictionaries(st.text(), st.text()))
def test_encoded_body_keeps_any_text(texts: dict[str, str]) -> None:
    assert json.loads(encode(texts)) == texts
