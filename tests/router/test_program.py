"""Settings, files and the order of the stop of the router program, without Envoy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manyserve.router.pods_file import PodsFile
from tests.support.programs import manyserve

POD = {"uid": "u1", "name": "p", "ip": "10.0.0.1", "shard": 0}


def test_router_without_a_name_does_not_start() -> None:
    done = manyserve("router")
    assert (done.returncode, "MANYSERVE_ROUTER_ID is not set" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("MANYSERVE_ROUTER_ID", "a/b", "MANYSERVE_ROUTER_ID"),
        ("MANYSERVE_ROUTER_PORT", "0", "must be a port, 1 to 65535"),
        ("MANYSERVE_MAX_REQUEST_BYTES", "-1", "must be a whole number above 0"),
    ],
)
def test_wrong_setting_is_a_sentence(name: str, value: str, sentence: str) -> None:
    done = manyserve("router", **({"MANYSERVE_ROUTER_ID": "r"} | {name: value}))
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr


def test_envoy_configuration_is_written(tmp_path: Path) -> None:
    done = manyserve("router", "--envoy-config", str(tmp_path / "envoy.json"), MANYSERVE_ROUTER_ID="r")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "envoy.json").read_text())["node"]["id"] == "r"
    failed = manyserve("router", "--envoy-config", str(tmp_path / "no" / "envoy.json"), MANYSERVE_ROUTER_ID="r")
    assert (failed.returncode, "cannot be written" in failed.stderr) == (2, True)


def test_last_good_pods_stay_in_force(tmp_path: Path) -> None:
    path = tmp_path / "pods.json"
    file = PodsFile(path)
    assert not file.refresh()
    assert file.error.endswith("is not there")
    path.write_text(json.dumps([POD]))
    assert file.refresh()
    assert not file.refresh(), "nothing has changed"
    for text in ("", "[", '[{"ip": "no"}]'):
        path.write_text(text)
        assert not file.refresh()
        assert "cannot be used" in file.error
        assert not file.refresh()
        assert file.pods
    path.unlink()
    assert not file.refresh()
    assert file.error.endswith("is gone")
    path.write_text(json.dumps([POD]))
    assert file.refresh()
    assert file.error == ""
