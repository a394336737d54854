"""`models.json`: equal contents are equal bytes, and other content is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyserve.api import modelconfig
from manyserve.plan.placement import entry_of
from tests.support import make

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def test_models_json_is_sorted_list_with_keys_of_kserve() -> None:
    text = modelconfig.dump(entry_of(make.model(name)) for name in ("b", "a"))
    assert json.loads(text)[0] == {
        "modelName": "a",
        "modelSpec": {
            "storageUri": "gs://kfserving-examples/models/torchscript/cifar10",
            "framework": "pytorch",
            "memory": "1Gi",
            "contentRules": 1,
        },
    }
    assert [each["modelName"] for each in json.loads(text)] == ["a", "b"]


def test_models_json_has_optional_fields_only_if_set() -> None:
    entry = entry_of(make.model(digest="sha256:" + "0" * 64, refreshInterval="10m"))
    (parsed,) = json.loads(modelconfig.dump([entry]))
    assert parsed["modelSpec"].items() >= {"digest": "sha256:" + "0" * 64, "refreshInterval": "10m"}.items()


@given(st.lists(names, unique=True, max_size=10), st.randoms())
def test_models_json_does_not_depend_on_order_of_input(found: list[str], random: object) -> None:
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
def test_models_json_parser_refuses_other_content(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        modelconfig.parse(text)


def test_models_json_parser_refuses_duplicate_model() -> None:
    entry = entry_of(make.model("a"))
    with pytest.raises(ValueError, match=r"names a model twice: a"):
        modelconfig.parse(modelconfig.dump([entry, entry]))


def test_entry_digest_depends_on_files_only() -> None:
    digest = entry_of(make.model()).digest
    assert entry_of(make.model(memory="512Mi")).digest == digest
    assert entry_of(make.model(uri="gs://other/cifar10")).digest != digest
    assert entry_of(make.model(framework="onnx")).digest != digest
