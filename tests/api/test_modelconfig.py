"""`models.json`: equal contents are equal bytes, and what is not exactly such a list is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import modelconfig
from manyserve.plan.placement import entry_of
from tests.support import make

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def test_it_is_a_sorted_list_with_kserves_keys() -> None:
    text = modelconfig.dump(entry_of(make.model(name)) for name in ("b", "a"))
    assert json.loads(text)[0] == {
        "modelName": "a",
        "modelSpec": {
            "storageUri": "gs://kfserving-examples/models/torchscript/cifar10",
            "framework": "pytorch",
            "memory": "1Gi",
        },
    }
    assert [each["modelName"] for each in json.loads(text)] == ["a", "b"]


def test_a_digest_and_a_refresh_interval_stand_there_only_where_the_user_gave_them() -> None:
    entry = entry_of(make.model(digest="sha256:" + "0" * 64, refreshInterval="10m"))
    (found,) = json.loads(modelconfig.dump([entry]))
    assert found["modelSpec"].items() >= {"digest": "sha256:" + "0" * 64, "refreshInterval": "10m"}.items()


@given(st.lists(names, unique=True, max_size=10), st.randoms())
def test_the_order_of_the_input_does_not_matter(found: list[str], random: object) -> None:
    entries = [entry_of(make.model(name)) for name in found]
    text = modelconfig.dump(entries)
    random.shuffle(entries)  # type: ignore[attr-defined]
    assert modelconfig.dump(entries) == text
    assert {each.model_name for each in modelconfig.parse(text)} == set(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        "[1]",
        '[{"modelName": "a"}]',
        '[{"modelName": "..", "modelSpec": {"storageUri": "gs://b/k", "framework": "onnx", "memory": "1"}}]',
        "[" * 10_000,
        b"\xff\xfe[\x00]\x00",
        '[{"modelName": "a/b", "modelSpec": {"storageUri": "gs://b/k", "framework": "onnx", "memory": "1"}}]',
    ],
)
def test_what_is_not_such_a_list_is_an_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        modelconfig.parse(text)


def test_a_model_that_stands_twice_is_an_error() -> None:
    entry = entry_of(make.model("a"))
    with pytest.raises(ValueError, match=r"names a model twice: a"):
        modelconfig.parse(modelconfig.dump([entry, entry]))


def test_only_what_decides_the_files_is_in_the_digest() -> None:
    digest = entry_of(make.model()).digest
    assert entry_of(make.model(memory="512Mi")).digest == digest
    assert entry_of(make.model(uri="gs://other/cifar10")).digest != digest
    assert entry_of(make.model(framework="onnx")).digest != digest
