"""Settings files of MLServer: names that belong to the model, files of the model's folder, bounded reads."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from manyserve.agent.servers import MLServer, RefusedFilesError
from manyserve.agent.servers.mlserver_settings import MAX_BYTES, MAX_FILES, MAX_VALUES, SETTINGS
from manyserve.agent.volume.markers import NAME

SERVER = MLServer("http://x")


def put(folder: Path, **files: Any) -> Path:
    """Write settings into the model's folder; a key is the path of their folder, with `__` for a slash."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").strip("/") / SETTINGS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def prepared(folder: Path) -> dict[str, Any]:
    """Return the prepared settings by the path of their folder."""
    SERVER.prepare("a", folder)
    files = sorted(folder.rglob(SETTINGS))
    return {str(file.parent.relative_to(folder)): json.loads(file.read_text("ascii")) for file in files}


ROOT: Any = {"/": {"name": "victim"}}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, {".": "a"}),
        ({"/": {}}, {".": "a"}),
        (ROOT, {".": "a"}),
        ({"/": b'\xef\xbb\xbf{"name": "victim"}'}, {".": "a"}),
        ({"/": '{"name": "victim"}'.encode("utf-16")}, {".": "a"}),
        ({"/": b'{"name": "a", "name": "victim"}'}, {".": "a"}),
        ({"/": {"name": ["victim"]}}, {".": "a"}),
        ({"assets": {"name": "victim"}}, {"assets": "a"}),
        ({"1": {"name": "victim"}, "2": {}}, {"1": "a", "2": "a"}),
        (ROOT | {"assets": {"name": "other"}}, {".": "a", "assets": "a.assets"}),
        ({"/": {"name": "a"}, "victim": {}}, {".": "a", "victim": "a.victim"}),
        ({"x__victim": {}}, {".": "a", "x/victim": "a.x.victim"}),
        ({"1": {}, "1__y__z": {"name": "victim"}}, {"1": "a", "1/y/z": "a.1.y.z"}),
        ({"1": {}, "1__y__victim": {}}, {"1": "a", "1/y/victim": "a.1.y.victim"}),
        ({".hidden": {"name": "victim"}, "/": {}}, {".": "a", ".hidden": "a..hidden"}),
        ({"/": {"name": "b"}, "1": {"name": "b"}}, {".": "a", "1": "a"}),
    ],
)
def test_mlserver_sets_name_in_every_settings_file(tmp_path: Path, given: Any, names: dict[str, str]) -> None:
    settings = prepared(put(tmp_path, **given))
    assert {path: content["name"] for path, content in settings.items()} == names
    assert not any(NAME.fullmatch(name) for name in names.values() if name != "a"), "a TrainedModel may have the name"


@pytest.mark.parametrize("key", ["NAME", "Name", "MLSERVER_MODEL_NAME", "mlserver_model_name"])
@pytest.mark.parametrize("more", [{}, {"name": "a"}])
def test_mlserver_settings_have_one_spelling_of_the_name(tmp_path: Path, key: str, more: dict[str, str]) -> None:
    """MLServer takes the first spelling: `{"NAME": "victim", "name": "a"}` is the model victim."""
    assert prepared(put(tmp_path, **{"/": {key: "victim", "x": 1} | more})) == {".": {"name": "a", "x": 1}}


def test_mlserver_keeps_other_settings(tmp_path: Path) -> None:
    given = {"name": "b", "implementation": "mine.Model", "parameters": {"extra": {"kept": "\u00e9"}}}
    assert prepared(put(tmp_path, **{"/": given})) == {".": given | {"name": "a"}}


def test_mlserver_prepares_a_folder_twice_with_the_same_result(tmp_path: Path) -> None:
    first = prepared(put(tmp_path, **ROOT, assets={}, x__y={}))
    assert prepared(tmp_path) == first


def test_mlserver_does_not_write_to_hard_link(tmp_path: Path) -> None:
    shared, folder = tmp_path / "shared.json", tmp_path / "a"
    folder.mkdir()
    shared.write_text('{"name": "b"}')
    (folder / SETTINGS).hardlink_to(shared)
    SERVER.prepare("a", folder)
    assert shared.read_text() == '{"name": "b"}'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff{", "1/model-settings.json cannot be read: it is not JSON: "),
        (b'{"name": "victim",}', "1/model-settings.json cannot be read: it is not JSON: "),
        (b"[" * 40_000, "1/model-settings.json cannot be read: it is not JSON: "),
        (b'["not", "settings"]', "1/model-settings.json cannot be read: it must be a JSON object"),
    ],
)
def test_mlserver_refuses_unreadable_settings(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(RefusedFilesError, match=f"^{re.escape(sentence)}"):
        SERVER.prepare("a", put(tmp_path, **{"1": content}))


def test_mlserver_refuses_links_and_folders_in_place_of_settings(tmp_path: Path) -> None:
    victim, folder = put(tmp_path / "victim", **ROOT), tmp_path / "a"
    folder.mkdir()
    (folder / "linked").symlink_to(victim)
    with pytest.raises(RefusedFilesError, match=r"^linked must be a file, and is a link or a folder$"):
        SERVER.prepare("a", folder)
    (folder / "linked").unlink()
    (folder / SETTINGS).symlink_to(victim / SETTINGS)
    with pytest.raises(RefusedFilesError, match=r"^model-settings\.json must be a file"):
        SERVER.prepare("a", folder)
    (folder / SETTINGS).unlink()
    (folder / SETTINGS).mkdir()
    with pytest.raises(RefusedFilesError, match=r"^model-settings\.json must be a file"):
        SERVER.prepare("a", folder)


def test_mlserver_reads_settings_of_300_mib_in_bounded_memory(tmp_path: Path) -> None:
    with (put(tmp_path, **ROOT) / SETTINGS).open("r+b") as file:
        file.truncate(300 * 1024**2)
    tracemalloc.start()
    with pytest.raises(RefusedFilesError, match=rf"^the model has more than {MAX_BYTES} bytes in files {SETTINGS}$"):
        SERVER.prepare("a", tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * MAX_BYTES


def test_mlserver_bounds_sum_and_number_of_settings(tmp_path: Path) -> None:
    half = {"kept": "x" * (MAX_BYTES // 2)}
    with pytest.raises(RefusedFilesError, match=rf"more than {MAX_BYTES} bytes"):
        SERVER.prepare("a", put(tmp_path / "large", **{"1": half, "2": half}))
    with pytest.raises(RefusedFilesError, match=rf"^the model has more than {MAX_FILES} files {SETTINGS}$"):
        SERVER.prepare("a", put(tmp_path / "many", **{str(number): {} for number in range(MAX_FILES + 1)}))
    few: Any = {"kept": [{}] * (MAX_VALUES // 5)}
    assert prepared(put(tmp_path / "few", **{"1": few, "2": few}))
    with pytest.raises(RefusedFilesError, match=rf"^the model has more than {MAX_VALUES} values in files {SETTINGS}$"):
        SERVER.prepare("a", put(tmp_path / "values", **{"1": few, "2": few, "3": few}))


@pytest.mark.parametrize(
    "uri",
    [
        "../victim/model.joblib",
        "./1/../../victim",
        "/mnt/models/victim/model.joblib",
        "/mnt/models/a/../victim",
        "/mnt/models/ab/model.joblib",
        "file:///mnt/models/victim/model.joblib",
        "file:../victim",
        "s3://bucket/model",
        "//other/mnt/models/a/model.joblib",
        "model.joblib?/../../victim",
        "../victim?/../a",
        "..\n/victim",
        "http://[",
    ],
)
def test_mlserver_names_uri_out_of_the_models_folder(tmp_path: Path, uri: str) -> None:
    put(tmp_path, **{"/": {"parameters": {"uri": uri}}})
    sentence = "parameters.uri in model-settings.json must be a path in the model's folder"
    assert SERVER.content_error("a", "sklearn", tmp_path) == sentence


@pytest.mark.parametrize("spelling", ["URI", "Uri", "MLSERVER_MODEL_URI"])
@pytest.mark.parametrize("parameters", ["parameters", "PARAMETERS"])
def test_mlserver_names_uri_of_every_spelling(tmp_path: Path, parameters: str, spelling: str) -> None:
    put(tmp_path, **{"/": {parameters: {spelling: "../victim", "uri": "./own"}, "Parameters": None}})
    assert SERVER.content_error("a", "sklearn", tmp_path)


@pytest.mark.parametrize("uri", [None, "", "model.joblib", "./model.joblib", "/mnt/models/a/x", "file:///mnt/models/a"])
def test_mlserver_accepts_uri_in_the_models_folder(tmp_path: Path, uri: str | None) -> None:
    put(tmp_path, **{"/": {"parameters": {"uri": uri}}, "1": {"parameters": {"uri": "../shared.joblib"}}, "2": {}})
    assert SERVER.content_error("a", "sklearn", tmp_path) == ""
