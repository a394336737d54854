"""API group of a process: read from the environment once, and part of all constants that are made from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, get_args

import pytest
import yaml

from manyserve import cli
from manyserve.api.errors import StartupError
from manyserve.api_group import GROUPS, KSERVE, OWN, VARIABLE, from_env
from tests.support.programs import PROJECT, manyserve

ANNOTATIONS = """
import json
from manyserve.cluster.service_accounts import account_of
from manyserve.plan.storage.env import annotated
notes = json.loads({!r})
found = annotated(account_of({{"metadata": {{"name": "a", "annotations": notes}}}}))
print(json.dumps([found.env.get("MANYSERVE_S3_REGION"), found.problems]))
"""
CONSTANTS = """
import json
from manyserve.api import names
from manyserve.api.inferenceservice import InferenceService
from manyserve.cluster import events, kinds, informers
from manyserve.plan.children.common import child
host = InferenceService.from_wire({"metadata": {"name": "h"}, "spec": {"predictor": {"triton": {}}}})
own = [names.COMPONENT_LABEL, names.HOST_LABEL, names.TEMPLATE_HASH, names.APPLIED_HASH, names.REVISION,
       names.CONFIG_HASH, names.PLANNED_FROM, kinds.INFERENCE_SERVICE.path(), kinds.TRAINED_MODEL.path(),
       informers.OURS, informers.SERVING_PODS, child(host, "v1", "Service", "h")]
print(json.dumps(own))
"""


def run(code: str, group: str) -> Any:
    """Run a snippet in a process of this API group, and return the JSON that it prints."""
    env = os.environ | {VARIABLE: group, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def test_api_group_default_is_kserve() -> None:
    assert from_env({}) == from_env({VARIABLE: ""}) == from_env({VARIABLE: KSERVE}) == "serving.kserve.io"


def test_api_group_may_be_own_group() -> None:
    assert from_env({VARIABLE: OWN}) == "serving.manyserve.io"


@pytest.mark.parametrize("wrong", ["serving.example.com", "Serving.kserve.io", "serving.kserve.io ", "kserve"])
def test_api_group_refuses_other_groups(wrong: str) -> None:
    with pytest.raises(StartupError) as refused:
        from_env({VARIABLE: wrong})
    assert str(refused.value) == (
        f"MANYSERVE_API_GROUP={wrong!r} is not valid: it must be one of serving.kserve.io, serving.manyserve.io"
    )


@pytest.mark.parametrize("group", GROUPS)
def test_api_group_is_in_labels_annotations_kinds_and_owners(group: str) -> None:
    other = next(each for each in GROUPS if each != group)
    for constant in run(CONSTANTS, group):
        text = json.dumps(constant)
        assert group in text
        assert other not in text


@pytest.mark.parametrize(
    ("group", "notes", "region"),
    [
        (KSERVE, {KSERVE: "a"}, "a"),
        (KSERVE, {KSERVE: "a", OWN: "b"}, "a"),
        (KSERVE, {OWN: "b"}, None),
        (OWN, {KSERVE: "a"}, "a"),
        (OWN, {KSERVE: "a", OWN: "b"}, "b"),
        (OWN, {OWN: "b"}, "b"),
    ],
)
def test_s3_annotations_of_kserve_are_read_in_both_groups_and_own_ones_win(
    group: str, notes: dict[str, str], region: str | None
) -> None:
    text = json.dumps({f"{prefix}/s3-region": value for prefix, value in notes.items()})
    assert run(ANNOTATIONS.format(text), group) == [region, []]


def test_s3_annotation_error_names_annotation_with_its_prefix() -> None:
    text = json.dumps({f"{OWN}/s3-region": "eu 1", f"{KSERVE}/s3-usehttps": "maybe", f"{OWN}/s3-speed": "fast"})
    _, problems = run(ANNOTATIONS.format(text), OWN)
    assert problems == [
        "the annotation serving.kserve.io/s3-usehttps must be true or false",
        "the annotation serving.manyserve.io/s3-region must be letters, digits and '-'",
        "the annotation serving.manyserve.io/s3-speed is not supported",
    ]


def test_cli_prints_crds_of_either_group() -> None:
    assert get_args(cli.ApiGroup) == GROUPS
    for words, variable, group in (
        ((), "", KSERVE),
        ((), OWN, OWN),
        (("--group", OWN), KSERVE, OWN),
        (("--group", KSERVE), OWN, KSERVE),
    ):
        done = manyserve("crds", *words, **{VARIABLE: variable})
        assert done.returncode == 0, done.stderr
        assert {each["spec"]["group"] for each in yaml.safe_load_all(done.stdout)} == {group}


def test_cli_refuses_unknown_group() -> None:
    done = manyserve("crds", "--group", "serving.example.com")
    assert done.returncode == 2
    assert "'serving.kserve.io', 'serving.manyserve.io'" in done.stderr
