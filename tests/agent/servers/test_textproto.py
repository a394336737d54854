"""Reader of `config.pbtxt`, and the steps of an ensemble."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.agent.servers import LoadRejectedError, V1Server, V2Server, textproto
from manyserve.agent.servers.v2 import MAX_STEPS, read_steps

ENSEMBLE = """
platform: "ensemble"   # ensemble_scheduling { step { model_name: "comment" } }
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 1, -1 ] } ]
ensemble_scheduling {
  step [
    { model_name: "pre" model_version: -1 input_map { key: "IN" value: "IN" } },
    { model_name: "post" model_version: -1 input_map { key: "IN" value: "MID" } }
  ]
}
"""


def ensemble(count: int) -> str:
    """Return the configuration of an ensemble of so many steps."""
    steps = " ".join(f'step {{ model_name: "{number}" }}' for number in range(count))
    return f"ensemble_scheduling {{ {steps} }}"


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (ENSEMBLE, ("pre", "post")),
        ("ensemble_scheduling: { step: { model_name: \"a\" } step: { model_name: 'b' } }", ("a", "b")),
        ('ensemble_scheduling < step < model_name: "a"; >, step { model_name: "a" } >', ("a",)),
        ('ensemble_scheduling{step[{model_name:"a" "b"}]}', ("ab",)),
        ("ensemble_scheduling { step [] }", ()),
        ('name: "step { model_name: }" backend: "python"', ()),
        ('parameters { key: "k" value: { string_value: "a\\"b}" } } max_batch_size: 0', ()),
        ("ensemble_scheduling: 1", ()),
        ("", ()),
    ],
)
def test_steps_of_ensemble_are_read_in_every_form(config: str, steps: tuple[str, ...]) -> None:
    assert read_steps(textproto.parse(config)) == steps


@pytest.mark.parametrize("text", ["a", "a:", "a {", "a: }", "a: [1", "a: [1 2]", "{", 'a: "x', "1: 2", "a {" * 100])
def test_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"it is|no |does not|begins"):
        textproto.parse(text)


def test_long_text_is_refused() -> None:
    with pytest.raises(ValueError, match="characters"):
        textproto.parse(" " * (textproto.MAX_CHARACTERS + 1))


def test_text_of_many_values_is_refused() -> None:
    assert len(textproto.parse("a:1\n" * textproto.MAX_VALUES)["a"]) == textproto.MAX_VALUES
    for text in ("a:1\n" * (textproto.MAX_VALUES + 1), f"a: [{'1,' * textproto.MAX_VALUES}1]"):
        with pytest.raises(ValueError, match=f"^it has more than {textproto.MAX_VALUES} values$"):
            textproto.parse(text)


@given(st.text(alphabet='ab1 {}<>[]:,;"\\#\n', max_size=60))
def test_parser_returns_or_raises_value_error(text: str) -> None:
    try:
        textproto.parse(text)
    except ValueError:
        return


def test_server_reads_steps_of_folder(tmp_path: Path) -> None:
    server = V2Server("http://localhost")
    assert server.steps(tmp_path) == ()
    (tmp_path / "config.pbtxt").write_bytes(b"\xff")
    assert server.steps(tmp_path) == ()
    (tmp_path / "config.pbtxt").write_text(ENSEMBLE)
    assert server.steps(tmp_path) == ("pre", "post")
    assert V1Server("http://localhost").steps(tmp_path) == ()


def test_ensemble_of_too_many_steps_is_not_loaded(tmp_path: Path) -> None:
    server = V2Server("http://localhost")
    (tmp_path / "config.pbtxt").write_text(ensemble(MAX_STEPS))
    assert len(server.steps(tmp_path)) == MAX_STEPS
    (tmp_path / "config.pbtxt").write_text(ensemble(MAX_STEPS + 1))
    with pytest.raises(LoadRejectedError, match=r"^config\.pbtxt names 1001 steps, more than the limit of 1000$"):
        server.steps(tmp_path)


def test_server_reads_steps_of_file_with_byte_order_mark_or_other_encoding(tmp_path: Path) -> None:
    config = 'ensemble_scheduling { step [ { model_name: "pre" } ] }'
    for data in (b"\xef\xbb\xbf" + config.encode(), b"# caf\xe9 of 2026\n" + config.encode()):
        (tmp_path / "config.pbtxt").write_bytes(data)
        assert V2Server("http://localhost").steps(tmp_path) == ("pre",)
