"""What is sent means the same as JSON and as YAML, whatever texts are in it."""

from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from manyserve.cluster.body import encode

HARD = "\U0001f600 \u2028 \u2029 \x85 \x7f \ufeff \ufffe \u202e \\ud83d \t\r\n \"' {} # : - é"


def test_letters_in_two_halves_and_ends_of_lines_are_read_as_they_were_by_both() -> None:
    body = encode({"value": HARD, HARD: 1})
    assert json.loads(body) == yaml.safe_load(body) == {"value": HARD, HARD: 1}
    assert b"\\ud83d\\ude00" not in body


@given(st.dictionaries(st.text(), st.text()))
def test_any_text_is_read_as_it_was(texts: dict[str, str]) -> None:
    assert json.loads(encode(texts)) == texts
